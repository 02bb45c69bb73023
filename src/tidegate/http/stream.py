"""What the gateway and a wire protocol know of each other, in any HTTP version.

A wire protocol's connection opens a `Stream` per request and calls the gateway's `StreamHandler`; the handler
answers through the stream. Neither side blocks: a stream takes all that it is given, and says `pause_writing`
when its peer is not keeping up.
"""

from tidegate.http.errors import RequestError
from tidegate.http.head import RequestHead, ResponseHead


class StreamHandler:
    """Receives one stream's events. After `stream_reset`, or once both sides have ended, it is called no
    more."""

    __slots__ = ()

    def start(self) -> None:
        """Called once, after the content that came together with the head has been received."""

    def discarded(self) -> None:
        """Called in place of `start`, where the request came to nothing before that. Nothing follows."""

    def data_received(self, data: bytes) -> None:
        """Some content arrived; never empty. After `accept_tunnel`, the tunnel's bytes."""

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The request is complete; not called where its head says that it has no content. `trailers` are
        validated, and not merged into the header section. In a tunnel: the peer has ended its side."""

    def peer_closed(self) -> None:
        """The peer has ended its side behind a complete request: it may have gone, or still want the
        answer."""

    def request_refused(self, error: RequestError) -> None:
        """The stream's connection answers this request itself; `stream_reset` follows."""

    def stream_reset(self) -> None:
        """The peer has gone, or the exchange was cut: nothing more comes, and nothing more can be sent."""

    def pause_writing(self) -> None:
        """The peer reads slower than we write: let the application wait until `resume_writing`."""

    def resume_writing(self) -> None:
        """Undo `pause_writing`."""

    def shutdown_started(self) -> None:
        """The server has begun to shut down; the exchange may go on to its end."""


class Stream:
    """Carries one exchange's answer. Its methods raise nothing: once the peer is gone they do nothing.

    The order of calls is send_informational*, then send_head, then (send_data | send_file)* of which the last
    has end_stream, or is followed by send_trailers; or accept_tunnel, then send_data of which the last has
    end_stream.
    """

    __slots__ = ()

    def send_informational(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send an interim response (RFC 9110 §15.2): 100 when the application first asks for content, 103."""

    def send_head(self, head: ResponseHead) -> None:
        """Send the final response's head. Framing is the stream's: `head` has no hop-by-hop field."""

    def send_data(self, data: bytes, end_stream: bool) -> None:
        """Send content (dropped where the answer can have none: HEAD, 204, 304), and perhaps end the
        message."""

    def send_file(self, descriptor: int, offset: int, count: int, end_stream: bool) -> None:
        """Send `count` octets of an open file; the stream owns the descriptor and closes it.

        Calls the handler's pause_writing at once where it cannot be sent within this call, and resume_writing
        when it has gone.
        """

    def send_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Send the trailer section and end the message (dropped where the client did not ask for it)."""

    def accept_tunnel(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Switch to the protocol that the request asked for: 101 in HTTP/1.1, 200 to an extended CONNECT.

        From then on data_received and send_data carry the tunnel's bytes both ways, end_received the peer's
        end.
        """

    def flush(self) -> None:
        """Let go of what was held to be written together; called at the end of each step of the
        application."""

    def pause_reading(self) -> None:
        """Ask the peer to send no more content for now. Nested calls do not count."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""

    def can_push(self) -> bool:
        """Whether the client takes server push on this stream now."""
        return False

    def push(self, path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        """Answer a GET request of this path and header section too, though the client has not sent it (RFC 9113
        §8.4); nothing happens where it takes none."""

    def unacknowledged(self) -> int:
        """Octets, of those that were sent, which the peer is not known to have; where its connection carries other
        streams, perhaps theirs too."""
        raise NotImplementedError

    def release(self) -> None:
        """The application has ended."""

    def reset(self) -> None:
        """Cut the exchange so that the peer can tell that the answer is incomplete. The handler hears no
        more."""


class Wire:
    """What a wire protocol's connection knows of its transport; `net` implements it, tests record the
    calls."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Queue `data`; never blocks, and does nothing once the connection is lost."""

    def send_file(self, data: bytes, descriptor: int, offset: int, count: int) -> None:
        """Queue `data`, then `count` octets of an open file; owns and closes the descriptor."""

    def read_file(self, descriptor: int, offset: int, count: int) -> bytes:
        """Up to `count` octets of an open file; none where it ends before `offset`, or cannot be read."""
        raise NotImplementedError

    def close_file(self, descriptor: int) -> None:
        """Close a file that was given to a `Stream`."""

    def pause_reading(self) -> None:
        """Deliver no more data until `resume_reading`; idempotent."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`; idempotent."""

    def unacknowledged(self) -> int:
        """Octets, of those that were written, which the peer is not known to have."""
        raise NotImplementedError

    def flush_soon(self) -> None:
        """Call the connection's `flush_due()` once, behind the callbacks that the event loop has in its
        queue."""

    def timeout_changed(self) -> None:
        """The connection's `next_timeout()` may have become earlier; it is not infinite."""

    def close(self, linger: bool) -> None:
        """Send what is queued, then close. Where the peer may still be sending, `linger`: end our side first,
        and discard what comes for a short while, so that a reset does not eat the answer (RFC 9112 §9.6)."""

    def abort(self) -> None:
        """Drop the connection now, with what is queued."""


__all__ = ["RequestHead", "ResponseHead", "Stream", "StreamHandler", "Wire"]
