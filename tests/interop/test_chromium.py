"""A real browser: headless Chromium opens WebSockets from a page that this server serves, driven by DevTools."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.process import ServerProcess, start_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")

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


class Page:
    """A page at `url`, in which `run` evaluates."""

    def __init__(self, devtools: ClientConnection, url: str) -> None:
        self.devtools = devtools
        self.ids = itertools.count(1)
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self.call("Page.enable", {}, self.session)
        self.call("Page.navigate", {"url": url}, self.session)
        self.wait_for("Page.loadEventFired")

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        self.devtools.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self.devtools.recv(timeout=30))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, event: str) -> None:
        while json.loads(self.devtools.recv(timeout=30)).get("method") != event:
            pass

    def run(self, body: str) -> dict[str, Any]:
        answer = self.call(
            "Runtime.evaluate",
            {"expression": SCRIPT.replace("BODY", body), "awaitPromise": True, "returnByValue": True},
            self.session,
        )
        assert "exceptionDetails" not in answer, answer
        value: dict[str, Any] = answer["result"]["value"]
        return value


@pytest.fixture(scope="module")
def server(app_dir: Path) -> Iterator[ServerProcess]:
    with start_server("--no-access-log", app="websocket_fastapi:app", app_dir=app_dir) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]
    with subprocess.Popen(
        [*command, "--no-first-run", "--no-proxy-server"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as browser:
        try:
            assert browser.stderr is not None
            listening = next(filter(None, (re.search(r"ws://\S+", line) for line in browser.stderr)))
            with connect(listening[0], proxy=None, max_size=None) as devtools:
                yield Page(devtools, f"{server.url}/")
        finally:
            browser.terminate()


def test_text_and_binary_of_a_mebibyte(page: Page) -> None:
    found = page.run(
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
        """
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
    found = page.run(f'return await open("{path}");')
    assert (found["opened"], found["code"], found["reason"], found["clean"]) == (True, code, reason, True)


@pytest.mark.parametrize("path", ["/deny", "/refuse"])
def test_a_denied_handshake(page: Page, path: str) -> None:
    found = page.run(f'return await open("{path}");')
    assert (found["opened"], found["code"], found["clean"]) == (False, 1006, False)
