"""The Date field's format (RFC 9110 §5.6.7)."""

from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_date(seconds: float) -> bytes:
    """IMF-fixdate of a number of seconds since the epoch, the same in every locale."""
    t = datetime.fromtimestamp(int(seconds), UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02} {_MONTHS[t.month - 1]} {t.year:04} "
        f"{t.hour:02}:{t.minute:02}:{t.second:02} GMT"
    ).encode("ascii")
