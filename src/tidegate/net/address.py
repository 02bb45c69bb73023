"""Addresses of peers, as ASGI has them."""

import os
from typing import Any


def address_of(name: Any) -> Any:
    """asyncio's peername or sockname as ASGI's (host, port); None for a Unix socket's unnamed end."""
    if not name:
        return None
    if isinstance(name, str | bytes):
        return (os.fsdecode(name), None)
    return (unmapped(name[0]), name[1])


def unmapped(host: str) -> str:
    """The IPv4 address that an IPv6 address stands for, as an IPv4 client's of a dual-stack socket does, or the address
    as it is (RFC 4291 §2.5.5.2)."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host
