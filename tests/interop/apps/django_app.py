"""Django: the contract of test_frameworks.py with async views, and sync views beside them, in one module."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path

settings.configure(
    SECRET_KEY="only for tests",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.security.SecurityMiddleware"],
    FILE_UPLOAD_MAX_MEMORY_SIZE=65536,  # so that the upload goes through a temporary file
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
)


async def hello(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "hello": request.GET.get("name", "world"),
            "path": request.path,
            "host": request.get_host().split(":")[0],
            "agent": request.headers["x-agent"],
        }
    )


async def echo(request: HttpRequest) -> StreamingHttpResponse:
    async def content() -> AsyncIterator[bytes]:
        while chunk := request.read(16384):
            yield chunk

    return StreamingHttpResponse(content())


async def upload(request: HttpRequest) -> JsonResponse:
    file = request.FILES["file"]
    content = file.read()
    return JsonResponse(
        {"name": file.name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    )


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(lines(), content_type="text/plain")


def stream_in_a_thread(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(5):
            yield f"{number}\n"
            time.sleep(0.05)

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def cookies(request: HttpRequest) -> JsonResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


async def error(request: HttpRequest) -> HttpResponse:
    raise LookupError("the application's own mistake")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def in_a_thread(request: HttpRequest) -> JsonResponse:
    time.sleep(0.01)
    return JsonResponse({"thread": "yes"})


def octets(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.path)  # which has what is no UTF-8 percent-encoded again


async def events(request: HttpRequest) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            print("event stream closed", flush=True)
            raise

    return StreamingHttpResponse(ticks(), content_type="text/event-stream")


urlpatterns = [
    path("hello", hello),
    path("echo", echo),
    path("upload", upload),
    path("stream", stream),
    path("stream-in-a-thread", stream_in_a_thread),
    path("cookies", cookies),
    path("error", error),
    path("file", file),
    path("thread", in_a_thread),
    path("events", events),
    re_path("^octets/.*$", octets),
]

app = get_asgi_application()
wsgi_app = get_wsgi_application()
