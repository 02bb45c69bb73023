"""The fields that the server adds to every answer: Date (RFC 9110 §6.6.1), Server (§10.2.4), and the
operator's own."""


class ResponseDefaults:
    """Built once per server and shared by its connections; `set_date` is called once a second.

    `server` is the Server field's value, None for none; `extra` the operator's (name, value) pairs.
    `fields(date, server)` gives what to add to an answer that has (True) or has not its own Date and Server;
    `lines(...)` the same in HTTP/1.1's form.
    """

    __slots__ = ("_fields", "_lines", "_server", "extra", "send_date")

    def __init__(self, server: bytes | None, send_date: bool, extra: tuple[tuple[bytes, bytes], ...]) -> None:
        self._server = server
        self.send_date = send_date
        self.extra = list(extra)
        self._fields: list[list[tuple[bytes, bytes]]] = []
        self._lines: list[bytes] = []
        self.set_date(b"")

    def set_date(self, date: bytes) -> None:
        """Put `date` (an IMF-fixdate; b"" before the first is known) in what follows."""
        date_field = [(b"date", date)] if self.send_date and date else []
        server_field = [] if self._server is None else [(b"server", self._server)]
        self._fields = [date_field + server_field, server_field, date_field, []]
        self._lines = [
            b"".join([b"%b: %b\r\n" % (name, value) for name, value in fields]) for fields in self._fields
        ]

    def fields(self, has_date: bool, has_server: bool) -> list[tuple[bytes, bytes]]:
        return self._fields[has_date + 2 * has_server]

    def lines(self, has_date: bool, has_server: bool) -> bytes:
        return self._lines[has_date + 2 * has_server]
