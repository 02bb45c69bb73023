"""What the compressed answers of a server share: which codings, of what, and the threads for large bodies."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tidegate.asgi.compression import (
    COMPRESSIBLE_TYPES,
    Compressor,
    compress,
    eligible,
    field_value,
    negotiate,
)
from tidegate.http.head import RequestHead, ResponseHead

IDENTITY = "identity"
THREADS = 2
# Octets, from which on a body is compressed in a thread: a few milliseconds' work.
LARGE = 1 << 17


class Compression:
    """`codings` in the server's order; bodies of less than `min_size` octets, and others than `types`, are left as
    they are."""

    __slots__ = ("_events", "_executor", "_types", "codings", "min_size")

    def __init__(
        self, codings: Sequence[str], *, min_size: int = 1024, types: Sequence[str] = (), events: bool = False
    ) -> None:
        self.codings = tuple(codings)
        self.min_size = min_size
        self._types = tuple(types) or COMPRESSIBLE_TYPES
        self._events = events
        self._executor: ThreadPoolExecutor | None = None

    def eligible(self, head: ResponseHead) -> bool:
        """Whether this answer is compressed for clients that take it so."""
        if 0 <= head.content_length < self.min_size:
            return False
        return eligible(head.status, head.fields, self._types, event_streams=self._events)

    def coding(self, request: RequestHead) -> str:
        """The coding that this client gets; empty for none."""
        found = negotiate(field_value(request.headers, b"accept-encoding"), self.codings)
        return "" if found == IDENTITY else found

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Threads of our own: those of the event loop are the application's."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tidegate-compress")
        return self._executor

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


def encode_whole(coding: str, data: bytes) -> bytes:
    """A whole body, encoded."""
    return compress(coding, data)


def encode_piece(compressor: Compressor, data: bytes, more: bool) -> bytes:
    """A piece of a body, encoded such that the client can decode all of it now."""
    return compressor.compress(data) + (compressor.flush() if more else compressor.finish())
