"""Coverage-guided fuzzing of the HTTP/1.1 connection, on the pure build: `make fuzz`.

An input is what a client sends. Whatever it is, nothing but answers or a close come of it, and how it is split
makes no difference.
"""

import sys

import atheris

with atheris.instrument_imports(include=["tidegate"]):
    from tests.fuzz.replay import outcome
    from tests.support.http1 import octets


def fuzz_one(data: bytes) -> None:
    if not data or b"/early" in data:  # that application answers before a fault is seen, or after
        return
    end = b"\n"  # of the last line
    whole = outcome([data, end])
    middle = len(data) // 2
    assert outcome([piece for piece in (data[:middle], data[middle:], end) if piece]) == whole
    assert outcome([*octets(data), end]) == whole


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
