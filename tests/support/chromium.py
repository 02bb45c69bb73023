"""A real browser: headless Chromium, driven by DevTools."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


class Page:
    """A page at `url`, which has been loaded; `evaluate` is JavaScript in it."""

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

    def evaluate(self, expression: str) -> Any:
        """The value of `expression`, or what it resolves to."""
        answer = self.call(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
            self.session,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@contextmanager
def open_page(url: str, profile: Path, *options: str) -> Iterator[Page]:
    """A browser of its own, with its profile in that directory, that shows `url`."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--no-proxy-server",
    ]
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as browser:
        try:
            assert browser.stderr is not None
            listening = next(filter(None, (re.search(r"ws://\S+", line) for line in browser.stderr)))
            with connect(listening[0], proxy=None, max_size=None) as devtools:
                yield Page(devtools, url)
        finally:
            browser.terminate()
