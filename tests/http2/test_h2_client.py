"""The `h2` library as the client, which judges every frame: requests, contents, splits and windows are hypothesis's."""

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.http1 import RecordingHandler
from tests.support.http2 import Dialogue


class Echo(RecordingHandler):
    """Answers with the content of its request, once that is complete."""

    def start(self) -> None:
        super().start()
        self.answer_if_complete()

    def end_received(self, trailers: list[tuple[bytes, bytes]]) -> None:
        super().end_received(trailers)
        self.answer_if_complete()

    def answer_if_complete(self) -> None:
        complete = self.request.content_length == -1 or "end" in self.names
        if complete and "start" in self.names:
            self.answer(self.content, 200, (b"x-path", self.request.raw_path))


class Client:
    """An h2 client whose octets arrive in pieces of `sizes`, in turn."""

    def __init__(self, sizes: list[int], window: int, **limits: Any) -> None:
        self.dialogue = Dialogue(greet=False, handler_class=Echo, **limits)
        self.sizes = sizes
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self.connection.initiate_connection()
        self.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.contents: dict[int, bytes] = {}
        self.paths: dict[int, bytes] = {}
        self.ended: set[int] = set()

    def exchange(self) -> None:
        """Octets both ways until nobody has more to say."""
        while True:
            sent = self.connection.data_to_send()
            i = n = 0
            while i < len(sent):
                size = self.sizes[n % len(self.sizes)]
                self.dialogue.connection.receive_data(sent[i : i + size], self.dialogue.now)
                i += size
                n += 1
            self.dialogue.flush_due()
            received = self.dialogue.wire.take()
            if not sent and not received:
                return
            for event in self.connection.receive_data(received):
                self.take(event)

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = dict(event.headers or ())
            assert fields[b":status"] == b"200"
            self.paths[event.stream_id or 0] = fields[b"x-path"]
        elif isinstance(event, h2.events.DataReceived):
            stream_id = event.stream_id or 0
            self.contents[stream_id] = self.contents.get(stream_id, b"") + (event.data or b"")
            self.connection.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id or 0)
        else:
            assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated), event


requests = st.lists(
    st.tuples(st.binary(max_size=300), st.integers(1, 400), st.integers(0, 255) | st.none()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(requests, st.lists(st.integers(1, 5000), min_size=1, max_size=4), st.integers(1, 70_000))
def test_whatever_an_h2_client_asks_is_answered(
    asked: list[tuple[bytes, int, int | None]], sizes: list[int], window: int
) -> None:
    # A window of an octet or two takes as many WINDOW_UPDATEs as octets: the budget is not what is tested here.
    client = Client(sizes, window, max_control=10**6)
    expected = {}
    for n, (content, times, padding) in enumerate(asked):
        stream_id = 2 * n + 1
        path = b"/%d" % n
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", path)]
        body = content * times
        if not body:
            fields[0] = (b":method", b"GET")
        client.connection.send_headers(stream_id, fields, end_stream=not body)
        expected[stream_id] = (path, body)
        left = body
        while left:
            overhead = 0 if padding is None else padding + 1
            client.exchange()
            room = min(
                client.connection.local_flow_control_window(stream_id),
                client.connection.max_outbound_frame_size,
            )
            assert room > overhead, "the server gives no window"
            piece, left = left[: room - overhead], left[room - overhead :]
            client.connection.send_data(stream_id, piece, end_stream=not left, pad_length=padding)
    client.exchange()
    assert client.ended == set(expected)
    assert client.paths == {stream_id: path for stream_id, (path, _) in expected.items()}
    for stream_id, (_, body) in expected.items():
        assert client.contents.get(stream_id, b"") == body
