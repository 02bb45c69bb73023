"""Status codes and their reason phrases (RFC 9110 §15)."""

from http import HTTPStatus

# Older Pythons name these as RFC 2616 did.
REASONS: dict[int, bytes] = {status.value: status.phrase.encode("ascii") for status in HTTPStatus} | {
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
}
