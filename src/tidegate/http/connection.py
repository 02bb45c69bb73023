"""A connection of any HTTP version: what the transport's side tells it. It tells the transport through a `Wire`."""


class Connection:
    """Server side, with no I/O. Times are seconds on the caller's monotonic clock."""

    __slots__ = ()

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes arrived; never empty. Output made meanwhile is written once, before this returns."""

    def receive_eof(self, now: float) -> None:
        """The peer has ended its side (a FIN). Whether it still reads is not known."""

    def connection_lost(self) -> None:
        """The transport is gone, whatever the reason."""

    def pause_writing(self) -> None:
        """The peer is not keeping up with what was written."""

    def resume_writing(self) -> None:
        """Undo `pause_writing`."""

    def flush_due(self) -> None:
        """The callback that `Wire.flush_soon` promises."""

    def next_timeout(self) -> float:
        """When to call `handle_timeout`: a time, infinity, or one in the past for as soon as the time is
        known."""
        return float("inf")

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""

    @property
    def idle_since(self) -> float:
        """Since when the connection waits for a request, or infinity where it does not."""
        return float("inf")

    def close_idle(self) -> None:
        """Its place is wanted: close, where it waits for a request."""

    def shutdown(self, now: float) -> None:
        """The server shuts down: let the exchanges end, and an idle client send one more request, then
        close."""

    def cut(self) -> None:
        """End the connection now; the applications see their client gone."""
