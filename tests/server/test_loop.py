"""The event loop's own end (`server/loop`)."""

import subprocess
import sys

import pytest

# What SIGINT does between two instructions, where uvloop is about to begin; it makes a pair of sockets there.
INTERRUPTED = """
import sys
from tidegate.server.loop import loop_factory, run

def interrupt(event, arguments):
    if armed and event == "socket.__new__":
        armed.clear()
        raise KeyboardInterrupt

async def main():
    print("ran")

armed = []
loop_factory("uvloop")().close()
sys.addaudithook(interrupt)
armed.append(True)
try:
    run(main(), "uvloop")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_interrupted_before_it_began():
    pytest.importorskip("uvloop")
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert "Traceback" not in done.stderr
