from tidegate.http.errors import ClientDisconnected, ProtocolError, RequestError, StreamError


def test_errors_carry_what_the_peer_is_told() -> None:
    for kind in (StreamError, ProtocolError):
        error = kind(8, "why")
        assert (error.code, error.detail) == (8, "why")
    request = RequestError(503, "busy", ((b"retry-after", b"1"),))
    assert (request.status, request.detail, request.fields) == (503, "busy", ((b"retry-after", b"1"),))


def test_a_client_that_has_gone_is_an_os_error() -> None:
    assert issubclass(ClientDisconnected, OSError)  # ASGI www 2.4, "Disconnected Client"
