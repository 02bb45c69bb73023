"""What is measured. A scenario is a name, its driver, and the issue's target where it has one."""

from dataclasses import dataclass

from . import app
from .load import Driver, H2Load, Wrk
from .websocket import WebSocketLoad

KIB = 1024
MIB = 1024 * KIB

# What Chromium sends with a navigation; wrk and the check add Host.
BROWSER_HEADERS = (
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Referer", "https://www.example.com/catalogue/harbours?page=3&sort=name"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    (
        "Cookie",
        "session=eyJ1c2VyIjo0MiwidGhlbWUiOiJkYXJrIn0.aX9k.3q2-7wT5; csrftoken=Zx81bq0VYx2mJ7uK; theme=dark",
    ),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    driver: Driver
    target: float | None = None  # Tidegate's CPU per request over the best peer's, at most
    unit: str = "request"
    secure: bool = False  # over TLS, the same certificate for all
    http2: bool = False


SCENARIOS = (
    Scenario("hello", "Hello, World", Wrk("/hello", app.HELLO), 0.65),
    Scenario("browser", "browser's 15 headers", Wrk("/hello", app.HELLO, headers=BROWSER_HEADERS), 0.65),
    Scenario("10k", "10 KiB answer", Wrk("/10k", app.TEN_KIB), 0.65),
    Scenario("stream", "ten-chunk stream", Wrk("/stream", app.CHUNK * app.CHUNKS), 0.55),
    Scenario("post", "POST 1 KiB echo", Wrk("/echo", b"x" * KIB, "POST", body_size=KIB), 0.60),
    # Few connections: what is half sent when the window ends is not counted as served.
    Scenario(
        "upload", "upload 1 MiB", Wrk("/upload", b"%d" % MIB, "POST", body_size=MIB, connections=8), 0.75
    ),
    Scenario("pipelined", "16 pipelined", Wrk("/hello", app.HELLO, depth=16), 0.35),
    Scenario(
        "connection",
        "connection per request",
        Wrk("/hello", app.HELLO, headers=(("Connection", "close"),)),
        0.90,
    ),
    Scenario("file", "50 KiB file", Wrk("/file", app.FILE_CONTENT), 0.60),
    Scenario("ws-echo", "WebSocket echo 64 B", WebSocketLoad(size=64), 0.70, "message"),
    Scenario("ws-echo-16k", "WebSocket echo 16 KiB", WebSocketLoad(size=16 * KIB), 0.65, "message"),
    Scenario(
        "ws-deflate", "WebSocket echo 1 KiB, deflate", WebSocketLoad(size=KIB, deflate=True), 0.80, "message"
    ),
    Scenario(
        "ws-broadcast",
        "WebSocket broadcast to 64",
        WebSocketLoad("/ws/broadcast", size=64, sockets=64),
        0.70,
        "message",
    ),
    Scenario("tls-hello", "Hello, World over TLS", Wrk("/hello", app.HELLO), 0.80, secure=True),
    Scenario("tls-10k", "10 KiB answer over TLS", Wrk("/10k", app.TEN_KIB), 0.75, secure=True),
    Scenario(
        "tls-handshake",
        "TLS handshake per request",
        Wrk("/hello", app.HELLO, headers=(("Connection", "close"),)),
        unit="handshake",
        secure=True,
    ),
    Scenario("h2c-hello", "Hello, World over HTTP/2", H2Load("/hello", app.HELLO), 0.65, http2=True),
    Scenario("h2c-10k", "10 KiB answer over HTTP/2", H2Load("/10k", app.TEN_KIB), 0.65, http2=True),
    Scenario(
        "h2-hello",
        "Hello, World over HTTP/2, TLS",
        H2Load("/hello", app.HELLO),
        0.70,
        secure=True,
        http2=True,
    ),
)
