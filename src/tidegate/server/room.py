"""How many peers one process has room for: what is configured, as far as the limit of open files bears it."""

from collections.abc import Collection
from typing import Final

from tidegate.config import Bind, Config
from tidegate.net.descriptors import Room, make_room

# Connections whose PROXY header is awaited, at all addresses together.
MAX_GREETINGS: Final = 512


def wanted_room(config: Config, binds: Collection[Bind]) -> Room:
    """What is configured for each process that serves `binds`."""
    secure = any(config.scheme_of(bind) == "https" for bind in binds)
    proxied = any(config.proxy_protocol_of(bind) != "off" for bind in binds)
    return Room(
        config.limits.connections,
        config.tls.max_handshakes if secure else 0,
        MAX_GREETINGS if proxied else 0,
    )


def room_for(config: Config, binds: Collection[Bind]) -> Room:
    """What there is of that; raises the soft limit of open files as far as it can and need be."""
    return make_room(wanted_room(config, binds))
