"""What a server listens with: for each address a listener, plain or of TLS, with its certificates, behind PROXY headers
where the address has them."""

import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tidegate.config import Bind, Config, ConfigError
from tidegate.gateway.forwarded import TrustedPeers
from tidegate.net.accepting import SharedListener
from tidegate.net.acceptor import Acceptor
from tidegate.net.descriptors import Room
from tidegate.net.listeners import Listener
from tidegate.net.share import Share
from tidegate.server.room import wanted_room

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tidegate.config import TLS
    from tidegate.net.handshakes import Handshakes
    from tidegate.net.tls import Certificates, CertificateWatcher

HTTPS_PORT = 443


class Listening:
    """Makes the listeners of `binds`; addresses with the same settings of TLS share their certificates.

    The modules of TLS are loaded where there is an address that speaks it. `room` is what the limit of open files
    bears; without it, as much as is configured. Raises ConfigError.
    """

    def __init__(
        self, config: Config, binds: Iterable[Bind], *, http2: bool, room: Room | None = None
    ) -> None:
        self._config = config
        binds = tuple(binds)
        self.room = wanted_room(config, binds) if room is None else room
        proxied = sum(config.proxy_protocol_of(bind) != "off" for bind in binds)
        self._max_greetings = max(1, self.room.greetings // max(1, proxied))
        self._certificates: dict[TLS, Certificates] = {}
        self._handshakes: Handshakes | None = None
        self._watcher: CertificateWatcher | None = None
        config.tls.check()
        for bind in binds:
            if config.scheme_of(bind) == "https":
                self._load(config.tls_of(bind), http2)

    def _load(self, settings: "TLS", http2: bool) -> None:
        if settings in self._certificates:
            return
        settings.check()
        from tidegate.net.handshakes import Handshakes
        from tidegate.net.tls import Certificates

        alpn = [name for name in settings.alpn if http2 or name != "h2"]
        if not alpn:
            raise ConfigError("ssl_alpn: it offers h2 alone, and HTTP/2 is off: add http/1.1")
        self._certificates[settings] = Certificates(settings, alpn)
        if self._handshakes is None:
            self._handshakes = Handshakes(self.room.handshakes)

    @property
    def secure(self) -> bool:
        """Whether there is an address that speaks TLS."""
        return bool(self._certificates)

    @property
    def handshakes(self) -> int:
        """How many have begun, and not ended."""
        return 0 if self._handshakes is None else len(self._handshakes)

    def tell_handshakes(self, ended: "Callable[[bool], None]") -> None:
        """Call `ended` at the end of each handshake, with whether it was a success."""
        if self._handshakes is not None:
            self._handshakes.ended = ended

    def make(
        self,
        bound: socket.socket,
        bind: Bind,
        acceptor: Acceptor,
        https_port: int,
        share: Share | None = None,
    ) -> Listener:
        """The listener of a bound socket; with a `share` other processes accept from it too."""
        config = self._config
        scheme = config.scheme_of(bind)
        port = https_port if scheme == "redirect" else 0
        listener: Listener
        if scheme == "https" and self._handshakes is not None:
            from tidegate.net.handshakes import TLSListener

            certificates = self._certificates[config.tls_of(bind)]
            listener = TLSListener(
                bound, bind, config.backlog, acceptor, certificates, self._handshakes, share
            )
        elif share is not None:
            listener = SharedListener(bound, bind, config.backlog, acceptor, port, share)
        else:
            listener = Listener(bound, bind, config.backlog, acceptor, port)
        version = config.proxy_protocol_of(bind)
        if version != "off":
            from tidegate.net.proxied import ProxyListener

            trusted = TrustedPeers(config.proxies.trusted)
            listener = ProxyListener(
                listener, version, trusted, config.timeouts.proxy_header, self._max_greetings, share
            )
        return listener

    def https_port(self, sockets: Sequence[socket.socket], binds: Sequence[Bind]) -> int:
        """Where requests over plain HTTP are redirected to."""
        if self._config.tls.redirect_port is not None:
            return self._config.tls.redirect_port
        for bound, bind in zip(sockets, binds, strict=True):
            if self._config.scheme_of(bind) == "https" and bound.family != socket.AF_UNIX:
                port: int = bound.getsockname()[1]
                return port
        return HTTPS_PORT

    def watch(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Take certificates that are renewed, from now until `close`."""
        if self.secure:
            from tidegate.net.tls import CertificateWatcher

            self._watcher = CertificateWatcher(loop, self._certificates.values())
            self._watcher.start()

    def reload(self) -> bool:
        """Take the certificates as they are on disk now, for new connections; False where some are faulty, which is
        logged, and those stay as they were."""
        reloaded = [each.reload() for each in self._certificates.values()]
        return all(reloaded)

    def hurry(self, deadline: float) -> None:
        """Shutdown has begun: wait until `deadline` (of the loop's time) for clients that say nothing."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._handshakes is not None:
            self._handshakes.hurry(deadline)

    def close(self) -> None:
        """End the handshakes that still go on."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._handshakes is not None:
            self._handshakes.cut()
