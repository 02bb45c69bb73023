"""A real browser: headless Chromium, driven by DevTools.

with browser(directory) as chromium:
    page = chromium.open("http://127.0.0.1:8000/")
    assert page.evaluate("document.title") == "Tides"
    assert not page.errors
"""

import itertools
import json
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


class Page:
    """A tab. `errors` are what its console shows of errors, uncaught exceptions and failed loads, so far."""

    def __init__(self, browser: "Browser") -> None:
        self.browser = browser
        self.errors: list[str] = []
        self.loads = 0
        self.requests: list[dict[str, Any]] = []
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session: str = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})[
            "sessionId"
        ]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, parameters, self.session)

    def event(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Network.responseReceived":
            self.requests.append(parameters["response"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(
                parameters["exceptionDetails"].get("exception", {}).get("description", "exception")
            )
        elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(" ".join(str(each.get("value")) for each in parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def go(self, url: str) -> None:
        """Open `url`, and wait until it is loaded."""
        loads = self.loads
        assert "errorText" not in self.call("Page.navigate", url=url)
        self.browser.wait(lambda: self.loads > loads, f"{url} to load")

    def evaluate(self, expression: str) -> Any:
        """The value of `expression` in the page; where that is a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, timeout: float = 10) -> Any:
        """The value of `expression`, as soon as it is true."""
        deadline = time.monotonic() + timeout
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true within {timeout} s: {expression}"
            time.sleep(0.05)
        return value

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose `path` in the file input that `selector` finds."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self) -> bytes:
        """The page as it looks, as PNG."""
        return b64decode(self.call("Page.captureScreenshot")["data"])


class Browser:
    def __init__(self, devtools: ClientConnection) -> None:
        self.devtools = devtools
        self.ids = itertools.count(1)
        self.pages: dict[str, Page] = {}

    def open(self, url: str) -> Page:
        page = Page(self)
        page.go(url)
        return page

    def call(self, method: str, parameters: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        self.devtools.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while (answer := self.receive(30)).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def receive(self, timeout: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.devtools.recv(timeout=timeout))
        if page := self.pages.get(message.get("sessionId", "")):
            page.event(message.get("method", ""), message.get("params", {}))
        return message

    def wait(self, done: Callable[[], bool], what: str, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            try:
                self.receive(deadline - time.monotonic())
            except TimeoutError:
                raise AssertionError(f"waited {timeout} s for {what}") from None


@contextmanager
def browser(profile: Path, *options: str) -> Iterator[Browser]:
    """A Chromium whose profile is in `profile`."""
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
    ) as process:
        try:
            assert process.stderr is not None
            listening = next(filter(None, (re.search(r"ws://\S+", line) for line in process.stderr)))
            with connect(listening[0], proxy=None, max_size=None) as devtools:
                yield Browser(devtools)
        finally:
            process.terminate()
