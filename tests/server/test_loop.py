"""The event loop's own end (`server/loop`)."""

import subprocess
import sys

import pytest

# What SIGINT does between two instructions, where uvloop is about to begin; it makes a pair of sockets there.
INTERRUPTED = """
import sys
from tidegate.server.loop import loop_factory, run

def interrupt(event, arguments):
    if armed and (event == "socket.__new__" or (event, arguments[:1]) == ("import", ("uvloop",))):
        armed.clear()
        raise KeyboardInterrupt

async def main():
    print("ran")

armed = []
if {imported}:
    loop_factory("uvloop")().close()
sys.addaudithook(interrupt)
armed.append(True)
try:
    run(main(), "uvloop")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("imported", ["True", "False"])
def test_interrupted_before_it_began(imported):
    pytest.importorskip("uvloop")
    program = INTERRUPTED.replace("{imported}", imported)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert "never awaited" not in done.stderr
