"""The status codes by name, against the registries as they were read (not against the module itself)."""

from tidegate.web import status

# IANA, HTTP Status Code Registry, 2025-09-15; RFC 9110 §15 for most.
HTTP = """
100 Continue|101 Switching Protocols|102 Processing|103 Early Hints
200 OK|201 Created|202 Accepted|203 Non-Authoritative Information|204 No Content|205 Reset Content
206 Partial Content|207 Multi-Status|208 Already Reported|226 IM Used
300 Multiple Choices|301 Moved Permanently|302 Found|303 See Other|304 Not Modified|305 Use Proxy
306 Reserved|307 Temporary Redirect|308 Permanent Redirect
400 Bad Request|401 Unauthorized|402 Payment Required|403 Forbidden|404 Not Found|405 Method Not Allowed
406 Not Acceptable|407 Proxy Authentication Required|408 Request Timeout|409 Conflict|410 Gone
411 Length Required|412 Precondition Failed|413 Content Too Large|414 URI Too Long
415 Unsupported Media Type|416 Range Not Satisfiable|417 Expectation Failed|418 Im a Teapot
421 Misdirected Request|422 Unprocessable Content|423 Locked|424 Failed Dependency|425 Too Early
426 Upgrade Required|428 Precondition Required|429 Too Many Requests
431 Request Header Fields Too Large|451 Unavailable For Legal Reasons
500 Internal Server Error|501 Not Implemented|502 Bad Gateway|503 Service Unavailable|504 Gateway Timeout
505 HTTP Version Not Supported|506 Variant Also Negotiates|507 Insufficient Storage|508 Loop Detected
510 Not Extended|511 Network Authentication Required
"""
# IANA, WebSocket Close Code Number Registry (RFC 6455 §11.7); names as Python's toolkits write them.
WEBSOCKET = {
    1000: "NORMAL_CLOSURE",
    1001: "GOING_AWAY",
    1002: "PROTOCOL_ERROR",
    1003: "UNSUPPORTED_DATA",
    1005: "NO_STATUS_RCVD",
    1006: "ABNORMAL_CLOSURE",
    1007: "INVALID_FRAME_PAYLOAD_DATA",
    1008: "POLICY_VIOLATION",
    1009: "MESSAGE_TOO_BIG",
    1010: "MANDATORY_EXT",
    1011: "INTERNAL_ERROR",
    1012: "SERVICE_RESTART",
    1013: "TRY_AGAIN_LATER",
    1014: "BAD_GATEWAY",
    1015: "TLS_HANDSHAKE",
}


def test_the_names_are_the_registries() -> None:
    expected = {f"WS_{code}_{name}": code for code, name in WEBSOCKET.items()}
    for line in HTTP.split("\n"):
        for entry in filter(None, line.split("|")):
            code, _, phrase = entry.partition(" ")
            words = phrase.upper().replace(" ", "_").replace("-", "_")
            expected[f"HTTP_{code}_{words}"] = int(code)
    assert {name: getattr(status, name) for name in status.__all__} == expected
