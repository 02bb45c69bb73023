"""HTTP semantics (RFC 9110) with no I/O: what every version of HTTP shares."""
