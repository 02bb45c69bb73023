"""The live page: one file, with nothing from elsewhere. Its policy lets just its own script and style run (CSP 3)."""

import base64
import hashlib
import re
from importlib.resources import files

PAGE = files("tidegate.admin").joinpath("live.html").read_bytes()


def _hash(tag: bytes) -> str:
    found = re.search(rb"<%b>(.*?)</%b>" % (tag, tag), PAGE, re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hash(b'script')}; style-src {_hash(b'style')}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
).encode()
