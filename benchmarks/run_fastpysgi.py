"""fastpysgi without its command line, which its package cannot run as a module."""

import argparse
import sys
from pathlib import Path

import fastpysgi

sys.path.insert(0, str(Path(__file__).parent))
import app as benchmark

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    fastpysgi.run(benchmark.app, "127.0.0.1", parser.parse_args().port)
