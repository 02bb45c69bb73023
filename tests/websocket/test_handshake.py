import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.websocket.support import request
from tidegate.http.errors import RequestError
from tidegate.websocket.handshake import parse_extensions, receive_handshake


def refusal(*fields: tuple[bytes, bytes], **attributes: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        receive_handshake(request(*fields, **attributes), 12, True)
    return caught.value


def test_the_accept_value_of_the_rfc() -> None:
    # RFC 6455 §1.3
    assert receive_handshake(request(), 12, True).accept_fields(None) == [
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    ]


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ([], {"method": "POST"}),
        ([], {"http_version": "1.0"}),
        ([], {"content_length": 5}),
        ([], {"content_length": -2}),
        ([(b"sec-websocket-key", b"absent")], {}),
        ([(b"sec-websocket-key", b"c2hvcnQ=")], {}),
        ([(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==\n")], {}),
        ([(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")] * 2, {}),
        ([(b"sec-websocket-protocol", b"a b")], {}),
        ([(b"sec-websocket-protocol", b"chat, chat")], {}),
        ([(b"sec-websocket-protocol", b",".join(b"%d" % i for i in range(101)))], {}),
        ([(b"sec-websocket-extensions", b"a b")], {}),
        ([(b"sec-websocket-extensions", b"a; =1")], {}),
        ([(b"sec-websocket-extensions", b"a; b=")], {}),
        ([(b"sec-websocket-extensions", b'a; b="c d"')], {}),
        ([(b"sec-websocket-extensions", b'a; b=""')], {}),
        ([(b"sec-websocket-extensions", b"(")], {}),
        ([(b"sec-websocket-extensions", "é".encode())], {}),
    ],
)
def test_a_malformed_handshake_is_a_bad_request(
    fields: list[tuple[bytes, bytes]], attributes: dict[str, object]
) -> None:
    assert refusal(*fields, **attributes).status == 400


@pytest.mark.parametrize("version", [b"absent", b"8", b"14", b"13, 8", b""])
def test_another_version_is_told_ours(version: bytes) -> None:
    # RFC 6455 §4.2.2, item 4, and §4.4
    error = refusal((b"sec-websocket-version", version))
    assert error.status == 426
    assert dict(error.fields) == {
        b"sec-websocket-version": b"13",
        b"upgrade": b"websocket",
        b"connection": b"upgrade",
    }


def test_over_http2_there_is_no_key_and_no_upgrade() -> None:
    # RFC 8441 §5
    absent = (b"sec-websocket-key", b"absent")
    handshake = receive_handshake(request(absent, http_version="2", method="CONNECT"), 12, True)
    assert handshake.accept_fields(None) == []
    error = refusal(absent, (b"sec-websocket-version", b"8"), http_version="2", method="CONNECT")
    assert (error.status, error.fields) == (426, ((b"sec-websocket-version", b"13"),))
    assert refusal(absent, http_version="2", method="GET").status == 400


def test_subprotocols_keep_their_order_over_several_lines() -> None:
    handshake = receive_handshake(
        request((b"sec-websocket-protocol", b"soap,, wamp"), (b"sec-websocket-protocol", b"chat ,")), 12, True
    )
    assert handshake.subprotocols == ["soap", "wamp", "chat"]
    assert (b"sec-websocket-protocol", b"wamp") in handshake.accept_fields("wamp")
    with pytest.raises(ValueError, match="mqtt"):
        handshake.accept_fields("mqtt")


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (b"permessage-deflate", b"permessage-deflate"),
        (b"permessage-deflate; client_max_window_bits", b"permessage-deflate; client_max_window_bits=12"),
        (b"x-other; a=b, permessage-deflate", b"permessage-deflate"),
        (
            b'permessage-deflate; server_max_window_bits="10"',
            b"permessage-deflate; server_max_window_bits=10",
        ),
        (
            b'permessage-deflate; server_max_window_bits="1\\0"',
            b"permessage-deflate; server_max_window_bits=10",
        ),
        (b"permessage-deflate; server_max_window_bits=8, permessage-deflate", b"permessage-deflate"),
        (b"permessage-deflate; server_max_window_bits=8", None),
        (b"permessage-deflate; unknown", None),
        (b"x-other", None),
        (b" , ,", None),
    ],
)
def test_the_first_offer_of_compression_that_can_be_accepted_is(offer: bytes, answer: bytes | None) -> None:
    handshake = receive_handshake(request((b"sec-websocket-extensions", offer)), 12, True)
    assert dict(handshake.accept_fields(None)).get(b"sec-websocket-extensions") == answer


def test_compression_may_be_switched_off() -> None:
    handshake = receive_handshake(request((b"sec-websocket-extensions", b"permessage-deflate")), 0, True)
    assert handshake.deflate is None
    assert len(handshake.accept_fields(None)) == 1


@pytest.mark.parametrize(
    ("name", "most", "too_many"),
    [
        (b"sec-websocket-extensions", b", ".join([b"x"] * 16), b", ".join([b"x"] * 17)),
        (b"sec-websocket-extensions", b"x" + b"; a=1" * 16, b"x" + b"; a=1" * 17),
        (
            b"sec-websocket-protocol",
            b",".join(b"%d" % i for i in range(100)),
            b",".join(b"%d" % i for i in range(101)),
        ),
        (b"sec-websocket-protocol", b"a" + b"," * 200, b"a" + b"," * 201),
    ],
)
def test_the_length_of_lists(name: bytes, most: bytes, too_many: bytes) -> None:
    receive_handshake(request((name, most)), 12, True)
    assert refusal((name, too_many)).status == 400


TOKENS = st.text("abcXYZ019-_.!", min_size=1, max_size=8)
PARAMETERS = st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=3)


@given(
    st.lists(st.tuples(TOKENS, PARAMETERS), max_size=4), st.sampled_from([",", ", ", " ,\t,"]), st.booleans()
)
def test_extensions_come_back(
    extensions: list[tuple[str, list[tuple[str, str | None]]]], separator: str, quoted: bool
) -> None:
    form = '{}="{}"' if quoted else "{} = {}"
    value = separator.join(
        " ; ".join([name, *(key if text is None else form.format(key, text) for key, text in parameters)])
        for name, parameters in extensions
    )
    assert parse_extensions(value) == extensions


@given(st.text(' \t,;="\\ab(', max_size=30))
def test_any_other_extensions_are_parsed_or_refused(value: str) -> None:
    try:
        parse_extensions(value)
    except RequestError as error:
        status = error.status
    else:
        return
    assert status == 400
