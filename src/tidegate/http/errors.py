"""Errors, typed by who can be told about them. Codecs raise these and never log."""


class RequestError(Exception):
    """This request is answered with `status`; the connection goes on or closes as the RFC says.

    `detail` is our own words, never bytes of the request: it may be shown to the client. `fields` go into the
    answer.
    """

    def __init__(self, status: int, detail: str, fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.fields = fields

    @property
    def content(self) -> bytes:
        """The answer's, as text/plain; charset=utf-8."""
        return b"%b\n" % self.detail.encode()


class StreamError(Exception):
    """This stream is reset with the protocol's error `code`; its connection goes on."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class ProtocolError(Exception):
    """The whole connection ends, with the protocol's error `code`."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class ClientDisconnected(OSError):
    """Raised out of `send()` after the peer has gone (ASGI www 2.4, "Disconnected Client"). Never an error to
    log."""


class ApplicationError(Exception):
    """The application broke the ASGI contract; raised out of its own `send()` or `receive()`."""
