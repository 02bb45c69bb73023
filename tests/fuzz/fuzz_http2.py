"""Coverage-guided fuzzing of the HTTP/2 connection, on the pure build: `make fuzz`.

An input is what a client sends behind its preface. Whatever it is, nothing but frames or a close come of it, none of
the frames is one that RFC 9113 forbids, and how it is split makes no difference.
"""

import sys

import atheris

with atheris.instrument_imports(include=["tidegate"]):
    from tests.fuzz.replay_http2 import LIMITS, events, outcome
    from tests.support.http1 import octets
    from tests.support.http2 import GOAWAY, PREFACE, RST_STREAM

# So few that applications whose clients have gone do not count, of which there are the more the less comes at once.
FEW_RESETS = {**LIMITS, "max_resets": 8}


def kinds(data: bytes) -> set[int]:
    """The types of the frames behind the preface."""
    found = set()
    i = len(PREFACE)
    while i + 9 <= len(data):
        found.add(data[i + 3])
        i += 9 + int.from_bytes(data[i : i + 3], "big")
    return found


def fuzz_one(data: bytes) -> None:
    data = PREFACE + data.removeprefix(PREFACE)
    events([data])
    events(octets(data))
    # What these mean depends on what has been answered when they come.
    if not kinds(data) & {RST_STREAM, GOAWAY}:
        middle = len(data) // 2
        whole = outcome([data], **FEW_RESETS)
        assert outcome([data[:middle], data[middle:]], **FEW_RESETS) == whole
        assert outcome(octets(data), **FEW_RESETS) == whole


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one)
    atheris.Fuzz()
