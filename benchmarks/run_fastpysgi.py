"""fastpysgi with the settings its command line does not have."""

import argparse
import os
import sys
from pathlib import Path

import fastpysgi

sys.path.insert(0, str(Path(__file__).parent))
import app as benchmark

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    if os.environ.get("FP_NODELAY"):
        fastpysgi.server.tcp_nodelay = 1
    if os.environ.get("FP_UVLOOP"):
        import uvloop

        fastpysgi.server.loop = uvloop.new_event_loop()
    if os.environ.get("FP_TIMEOUT"):
        fastpysgi.server.loop_timeout = int(os.environ["FP_TIMEOUT"])
    fastpysgi.run(benchmark.app, "127.0.0.1", parser.parse_args().port)
