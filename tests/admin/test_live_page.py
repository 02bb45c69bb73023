"""The live page in headless Chromium: numbers move under load, and a killed worker shows up.

With TIDEGATE_PICTURE=FILE it leaves a picture of the page there (docs/live-page.png).
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.admin import Observed, observed
from tests.support.browser import Page, browser, needs_chromium
from tests.support.process import eventually

PICTURE = os.environ.get("TIDEGATE_PICTURE")

pytestmark = needs_chromium


@pytest.fixture
def server() -> Iterator[Observed]:
    with observed("--workers", "2", "--no-access-log") as server:
        yield server


@pytest.fixture
def page(server: Observed, tmp_path: Path) -> Iterator[Page]:
    with browser(tmp_path, "--window-size=1100,760", "--hide-scrollbars") as chromium:
        yield chromium.open(f"http://127.0.0.1:{server.admin_port}/")


@pytest.fixture
def load(server: Observed) -> Iterator[None]:
    """Requests, until the test ends."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                with server.client(timeout=2) as client:
                    for n in range(25):
                        client.request(
                            "GET", ("/", "/sleep?0.002", "/status?503")[0 if n % 8 else n // 8 % 3]
                        )
                        if done.wait(0.004):
                            return
            except (OSError, AssertionError):  # its worker was killed
                pass

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


def text(page: Page, name: str) -> str:
    found: str = page.evaluate(f"document.getElementById('{name}').textContent")
    return found


def becomes(page: Page, name: str, right: Callable[[str], bool]) -> str:
    eventually(lambda: right(text(page, name)), 15, 0.1)
    return text(page, name)


def test_numbers_move_and_a_killed_worker_shows_up(server: Observed, page: Page, load: None) -> None:
    becomes(page, "state", lambda shown: shown == "ready")
    becomes(page, "rate", lambda shown: float(shown.rstrip("k") or 0) > 5)
    becomes(page, "latency", lambda shown: "ms" in shown or "µs" in shown)
    becomes(page, "connections", lambda shown: int(shown) >= 1)
    eventually(
        lambda: page.evaluate("document.querySelectorAll('#plot-rate polyline')[0].points.length") > 3,
        15,
        0.1,
    )
    assert page.evaluate("document.querySelectorAll('#workers tr').length") == 2
    before = text(page, "workers")
    victim = server.workers()[0]["pid"]
    assert str(victim) in before
    os.kill(victim, signal.SIGKILL)
    becomes(page, "restarts", lambda shown: "killed 1" in shown)
    becomes(page, "workers", lambda shown: str(victim) not in shown and shown.count("up") == 2)
    if PICTURE:
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        eventually(lambda: page.evaluate("series.rate.length") > 50, 90, 0.5)
        Path(PICTURE).write_bytes(page.screenshot())
    assert page.errors == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ""
    # The policy let all of it run, and nothing else: a script that is put in does not.
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('style'), {textContent: 'body{color:red}'}))",
    )
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
