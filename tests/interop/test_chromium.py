"""A real browser: headless Chromium opens WebSockets from a page that this server serves, driven by DevTools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Page, browser, needs_chromium
from tests.support.process import ServerProcess, start_server

pytestmark = needs_chromium

# What a page does; each resolves with what the test compares.
SCRIPT = """
(async () => {
  const open = (path, protocols) => new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}${path}`, protocols);
    socket.binaryType = "arraybuffer";
    const got = {opened: false, messages: []};
    socket.onopen = () => {
      Object.assign(got, {opened: true, protocol: socket.protocol, extensions: socket.extensions});
      PLAN(socket, got);
    };
    socket.onmessage = (event) => { got.messages.push(event.data); socket.next && socket.next(event.data); };
    socket.onclose = (event) => resolve({...got, code: event.code, reason: event.reason, clean: event.wasClean});
  });
  let PLAN = () => {};
  BODY
})()
"""


@pytest.fixture(scope="module")
def server(app_dir: Path) -> Iterator[ServerProcess]:
    with start_server("--no-access-log", app="websocket_fastapi:app", app_dir=app_dir) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium.open(f"{server.url}/")


def run(page: Page, body: str) -> dict[str, Any]:
    value: dict[str, Any] = page.evaluate(SCRIPT.replace("BODY", body))
    return value


def test_text_and_binary_of_a_mebibyte(page: Page) -> None:
    found = run(
        page,
        """
        PLAN = async (socket, got) => {
          const answer = (message) => new Promise((next) => { socket.next = next; socket.send(message); });
          const text = "é".repeat(1 << 19);
          got.text = (await answer(text)) === text;
          const bytes = new Uint8Array(1 << 20).map((_, i) => i * 7 >> 3);
          const back = new Uint8Array(await answer(bytes));
          got.bytes = back.length === bytes.length && back.every((octet, i) => octet === bytes[i]);
          got.messages = got.messages.length;
          socket.close(4000, "thanks");
        };
        return await open("/echo", ["a", "b"]);
        """,
    )
    assert found == {
        "opened": True,
        "protocol": "b",
        "extensions": "permessage-deflate; client_max_window_bits=12; server_no_context_takeover",
        "messages": 2,
        "text": True,
        "bytes": True,
        "code": 4000,
        "reason": "thanks",
        "clean": True,
    }


@pytest.mark.parametrize(("path", "code", "reason"), [("/close", 4321, "enough"), ("/broken", 1011, "")])
def test_close_codes(page: Page, path: str, code: int, reason: str) -> None:
    found = run(page, f'return await open("{path}");')
    assert (found["opened"], found["code"], found["reason"], found["clean"]) == (True, code, reason, True)


@pytest.mark.parametrize("path", ["/deny", "/refuse"])
def test_a_denied_handshake(page: Page, path: str) -> None:
    found = run(page, f'return await open("{path}");')
    assert (found["opened"], found["code"], found["clean"]) == (False, 1006, False)
