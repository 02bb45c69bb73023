"""Files of a directory over HTTP. What is outside the directory does not exist, however it is asked for."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import stat
from mimetypes import guess_type
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from tidegate.asgi.compression import CODINGS, SUFFIXES, field_value, ranked
from tidegate.asgi.preconditions import Answer, Preconditions
from tidegate.web._sendtracker import HANDLERS_KEY
from tidegate.web._utils import get_route_path
from tidegate.web.concurrency import in_file_thread
from tidegate.web.datastructures import URL, Headers
from tidegate.web.exceptions import HTTPException
from tidegate.web.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from tidegate.web.types import Receive, Scope, Send
from tidegate.web.websockets import WebSocketClose

if TYPE_CHECKING:
    from collections.abc import Sequence


PathLike = str | os.PathLike[str]
Forms = dict[str, tuple[str, os.stat_result]]  # of a file, by their codings

# A hash in hexadecimal before the extensions, as build tools write it: with a digit and a letter, so that neither
# words nor dates are taken for one.
HASHED_NAME = re.compile(r"[.\-_](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\.")
ONE_YEAR = 365 * 24 * 60 * 60


class NotModifiedResponse(Response):
    """304, with the fields of the full answer that a cache needs (RFC 9110 §15.4.5)."""

    NOT_MODIFIED_HEADERS = ("cache-control", "content-location", "date", "etag", "expires", "vary")

    def __init__(self, headers: Headers) -> None:
        kept = {name: value for name, value in headers.items() if name in self.NOT_MODIFIED_HEADERS}
        super().__init__(status_code=304, headers=kept)


class StaticFiles:
    """An ASGI application for the files of `directory`, and of the `statics` of Python packages.

    html: `index.html` for directories, `404.html` for what is missing. follow_symlink: links may lead
    outside. precompressed: send `app.js.br`, `.zst` or `.gz` in place of `app.js` to clients that take it (a tuple:
    which codings, best first). max_age: seconds for which files are fresh (RFC 9111 §5.2.2.1). immutable: files
    that HASHED_NAME, or another pattern, finds in the name never change (RFC 8246).
    """

    def __init__(
        self,
        *,
        directory: PathLike | None = None,
        packages: list[str | tuple[str, str]] | None = None,
        html: bool = False,
        check_dir: bool = True,
        follow_symlink: bool = False,
        precompressed: bool | Sequence[str] = False,
        max_age: int | None = None,
        immutable: bool | str | re.Pattern[str] = False,
    ) -> None:
        if max_age is not None and max_age < 0:
            raise ValueError("max_age must not be negative.")
        codings = (
            (CODINGS if precompressed else ()) if isinstance(precompressed, bool) else tuple(precompressed)
        )
        unknown = set(codings) - set(CODINGS)
        if unknown:
            raise ValueError(f"Unknown content codings: {', '.join(sorted(unknown))}.")
        self.precompressed = codings
        self.max_age = max_age
        self.immutable = HASHED_NAME if immutable is True else re.compile(immutable) if immutable else None
        self.directory = directory
        self.packages = packages
        self.all_directories = self.get_directories(directory, packages)
        self.html = html
        self.config_checked = False
        self.follow_symlink = follow_symlink
        if check_dir and directory is not None and not os.path.isdir(directory):
            raise RuntimeError(f"Directory '{directory}' does not exist")

    def get_directories(
        self, directory: PathLike | None = None, packages: list[str | tuple[str, str]] | None = None
    ) -> list[PathLike]:
        """All the directories to look in, in order."""
        directories: list[PathLike] = [] if directory is None else [directory]
        for package in packages or []:
            name, folder = package if isinstance(package, tuple) else (package, "statics")
            spec = importlib.util.find_spec(name)
            assert spec is not None, f"Package {name!r} could not be found."
            assert spec.origin is not None, f"Package {name!r} could not be found."
            path = os.path.normpath(os.path.join(spec.origin, "..", folder))
            assert os.path.isdir(path), f"Directory {folder!r} in package {name!r} could not be found."
            directories.append(path)
        return directories

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        assert scope["type"] == "http"
        if not self.config_checked:
            await self.check_config()
            self.config_checked = True
        try:
            response = await self.get_response(self.get_path(scope), scope)
        except HTTPException as error:
            if HANDLERS_KEY in scope or "app" not in scope:
                raise
            # Under another framework nobody else would answer it.
            response = PlainTextResponse(error.detail, error.status_code, error.headers)
        await response(scope, receive, send)

    def get_path(self, scope: Scope) -> str:
        """The path below the directory, as the file system writes it."""
        route_path = get_route_path(scope)
        return os.path.normpath(os.path.join(*route_path.split("/")))

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The response to a request for `path`. Raises HTTPException."""
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(status_code=405, headers={"Allow": "GET, HEAD"})
        full_path, stat_result, forms = await self._lookup(path)
        if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
            return self._best_response(full_path, stat_result, forms, scope)
        if stat_result is not None and stat.S_ISDIR(stat_result.st_mode) and self.html:
            index_path = os.path.join(path, "index.html")
            full_path, stat_result, forms = await self._lookup(index_path)
            if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
                if not scope["path"].endswith("/"):
                    # Relative links in the page count from the directory.
                    url = URL(scope=scope)
                    return RedirectResponse(url=url.replace(path=url.path + "/"))
                return self._best_response(full_path, stat_result, forms, scope)
        if self.html:
            full_path, stat_result, _ = await self._lookup("404.html")
            if stat_result is not None and stat.S_ISREG(stat_result.st_mode):
                return FileResponse(full_path, stat_result=stat_result, status_code=404)
        raise HTTPException(status_code=404)

    def _best_response(
        self, full_path: str, stat_result: os.stat_result, forms: Forms, scope: Scope
    ) -> Response:
        """The file, or that of its precompressed forms which the client likes best."""
        if not forms:
            return self.file_response(full_path, stat_result, scope)
        for coding in ranked(field_value(scope["headers"], b"accept-encoding"), self.precompressed):
            if coding in forms:
                return self.file_response(*forms[coding], scope, coding=coding, varies=True)
        return self.file_response(full_path, stat_result, scope, varies=True)

    def _look_up(self, path: str) -> tuple[str, os.stat_result | None, Forms]:
        """What `lookup_path` finds, and of a file its precompressed forms."""
        full_path, stat_result = self.lookup_path(path)
        if not self.precompressed or stat_result is None or not stat.S_ISREG(stat_result.st_mode):
            return full_path, stat_result, {}
        return full_path, stat_result, self._precompressed_forms(path, full_path, stat_result)

    def _precompressed_forms(self, path: str, full_path: str, original: os.stat_result) -> Forms:
        """Those that lie beside the file, by their codings; none that is older (in whole seconds), and so of
        another content."""
        forms: Forms = {}
        for coding in self.precompressed:
            try:
                found, stat_result = self.lookup_path(path + SUFFIXES[coding])
            except OSError:  # a name too long, a file that may not be read: as if it were not there
                continue
            if (
                stat_result is not None
                and stat.S_ISREG(stat_result.st_mode)
                and os.path.dirname(found) == os.path.dirname(full_path)
                and int(stat_result.st_mtime) >= int(original.st_mtime)
            ):
                forms[coding] = (found, stat_result)
        return forms

    async def _lookup(self, path: str) -> tuple[str, os.stat_result | None, Forms]:
        try:
            return await in_file_thread(self._look_up, path)
        except PermissionError:
            raise HTTPException(status_code=401) from None
        except ValueError:  # a NUL in the path
            raise HTTPException(status_code=404) from None
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise HTTPException(status_code=404) from None
            raise

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The full path and status of the file `path` below one of the directories, or ("", None)."""
        # A drive or a UNC share would leave the directory on Windows: refused everywhere alike.
        windows = PureWindowsPath(path)
        if os.path.isabs(path) or windows.drive or windows.root:
            return "", None
        for directory in self.all_directories:
            joined = os.path.join(directory, path)
            # With follow_symlink, `..` is all that could lead outside.
            resolve = os.path.abspath if self.follow_symlink else os.path.realpath
            full_path = resolve(joined)
            base = resolve(str(directory))
            if os.path.commonpath([full_path, base]) != base:
                continue
            try:
                return full_path, os.stat(full_path)
            except (FileNotFoundError, NotADirectoryError):
                continue
        return "", None

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
        *,
        coding: str = "",
        varies: bool = False,
    ) -> Response:
        """coding: that of a precompressed form. varies: whether other clients get another form."""
        name = os.fspath(full_path)
        if coding:
            name = name.removesuffix(SUFFIXES[coding])
            media_type = guess_type(name)[0] or "application/octet-stream"
            response = FileResponse(full_path, status_code, media_type=media_type, stat_result=stat_result)
            response.headers["content-encoding"] = coding
            # Another tag than that of the file itself, should their times and sizes be the same (RFC 9110 §8.8.3.3).
            response.headers["etag"] = f'{response.headers["etag"][:-1]}-{coding}"'
        else:
            response = FileResponse(full_path, status_code=status_code, stat_result=stat_result)
        if varies:
            response.headers.add_vary_header("Accept-Encoding")
        if self.immutable is not None and self.immutable.search(os.path.basename(name)):
            response.headers["cache-control"] = f"public, max-age={ONE_YEAR}, immutable"
        elif self.max_age is not None:
            response.headers["cache-control"] = f"public, max-age={self.max_age}"
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response

    async def check_config(self) -> None:
        """Raise RuntimeError if the directory is none, which at the start may have been unknown."""
        if self.directory is None:
            return
        try:
            stat_result = await in_file_thread(os.stat, self.directory)
        except FileNotFoundError:
            raise RuntimeError(f"StaticFiles directory '{self.directory}' does not exist.") from None
        if not (stat.S_ISDIR(stat_result.st_mode) or stat.S_ISLNK(stat_result.st_mode)):
            raise RuntimeError(f"StaticFiles path '{self.directory}' is not a directory.")

    def is_not_modified(self, response_headers: Headers, request_headers: Headers) -> bool:
        answer = Preconditions(request_headers.raw).evaluate(
            "GET", response_headers.get("etag"), response_headers.get("last-modified")
        )
        return answer is Answer.NOT_MODIFIED
