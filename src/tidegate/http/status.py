"""Status codes and their reason phrases (RFC 9110 §15)."""

from http import HTTPStatus

# Older Pythons name these as RFC 2616 did.
REASONS: dict[int, bytes] = {status.value: status.phrase.encode("ascii") for status in HTTPStatus} | {
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}


def reason(status: int) -> bytes:
    """The reason phrase, empty for a code that is not registered (RFC 9112 §4 allows that)."""
    return REASONS.get(status, b"")


def may_have_content(status: int) -> bool:
    """Whether a response may have content by its status alone (RFC 9110 §6.4.1).

    A 205 has none either, but is framed as one of length zero (§15.3.6), so it counts as having it.
    """
    return status >= 200 and status != 204 and status != 304
