"""The files that the static scenarios ask for, made where they are missing."""

from pathlib import Path

DIRECTORY = Path(__file__).parent.parent / ".bench" / "static"
KIB = 1024
SIZES = {"1k": KIB, "50k": 50 * KIB, "10m": 10 * KIB * KIB}


def content(name: str) -> bytes:
    return b"0123456789abcdef" * (SIZES[name] // 16)


def make() -> Path:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in SIZES:
        path = DIRECTORY / f"{name}.bin"
        if not path.exists() or path.read_bytes() != content(name):
            path.write_bytes(content(name))
    return DIRECTORY
