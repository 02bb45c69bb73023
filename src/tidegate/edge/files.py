"""The files below the mounted directories: found, opened and remembered, but not sent.

A path is never looked at before it is opened: what was opened tells where it lies (/proc/self/fd), so no symbolic link,
nor one that is put there in between, leads out of the directory.

Looking blocks the event loop for some microseconds where the kernel has the directory and the file in its caches, and
as long as a disk takes where it has not. A thread would cost every request more than the first costs, so what was found
is kept instead: for `VALID` seconds without asking the kernel, then as long as it says that nothing has changed.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from time import monotonic
from urllib.parse import unquote_to_bytes

from tidegate.asgi.compression import SUFFIXES
from tidegate.config.edge import OPENED_FILES, CacheRule, Mount
from tidegate.edge.media import content_type
from tidegate.http.date import format_date
from tidegate.http.head import RequestHead, ResponseHead

VALID = 1.0  # seconds
MAX_IN_MEMORY = 1 << 15  # octets of one file
INDEX = "index.html"
WELL_KNOWN = ".well-known"
CODINGS = tuple(SUFFIXES)
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# What `find` gives in place of a file.
REDIRECT = 301
BAD = 400
NOT_FOUND = 404
UNAVAILABLE = 503

# What says that there is no such file; anything else that there is trouble.
ABSENT = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.EINVAL,
    )
)


class Representation:
    """One file as it was when it was opened: in memory as `content`, or (None) to be sent from `descriptor`.

    `head` and `not_modified` are whole answers' heads, made once.
    """

    __slots__ = (
        "content",
        "descriptor",
        "etag",
        "fields",
        "head",
        "last_modified",
        "media",
        "modified",
        "not_modified",
        "size",
    )

    def __init__(self, descriptor: int, status: os.stat_result) -> None:
        self.descriptor = descriptor
        self.size = status.st_size
        self.modified = status.st_mtime_ns
        self.content: bytes | None = None
        self.media = ""
        self.etag = ""
        self.last_modified = format_date(status.st_mtime).decode()
        self.fields: list[tuple[bytes, bytes]] = []
        self.head = ResponseHead(200)
        self.not_modified = ResponseHead(304)

    def describe(self, media: str, coding: str, extra: list[tuple[bytes, bytes]]) -> None:
        """Make the heads. `extra` is what all answers of this resource have."""
        self.media = media
        # Strong (RFC 9110 §8.8.3), of its own for each coding; the same on all machines that have the file's times.
        self.etag = f'"{self.modified:x}-{self.size:x}{"-" + coding if coding else ""}"'
        validators = [
            (b"etag", self.etag.encode("ascii")),
            (b"last-modified", self.last_modified.encode("ascii")),
        ]
        self.fields = [
            *validators,
            (b"accept-ranges", b"bytes"),
            (b"x-content-type-options", b"nosniff"),
            *extra,
        ]
        if coding:
            self.fields.append((b"content-encoding", coding.encode("ascii")))
        self.head.fields = [
            (b"content-type", media.encode("ascii")),
            (b"content-length", b"%d" % self.size),
            *self.fields,
        ]
        self.head.content_length = self.size
        self.not_modified.fields = [*validators, *extra]

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class StaticFile:
    """A file with its encoded siblings, by coding."""

    __slots__ = ("checked", "encoded", "offered", "path", "plain", "size_in_memory", "valid_until")

    def __init__(self, path: bytes, plain: Representation, encoded: dict[str, Representation]) -> None:
        self.path = path
        self.plain = plain
        self.encoded = encoded
        self.offered = tuple(encoded)
        self.valid_until = 0.0
        self.checked: tuple[object, ...] = ()
        self.size_in_memory = sum(
            len(each.content) for each in (plain, *encoded.values()) if each.content is not None
        )

    def close(self) -> None:
        self.plain.close()
        for each in self.encoded.values():
            each.close()


class StaticFiles:
    """Finds the file that a request is for, among those of all mounts.

    `max_files` of them, and `max_memory` octets of small ones, are kept. Where there is no file, `fallthrough` gives
    the request to the application. `fields_of(path)` are more fields for the answers at a path.
    """

    __slots__ = (
        "_fallthrough",
        "_fields_of",
        "_files",
        "_max_files",
        "_max_memory",
        "_memory",
        "_mounts",
        "_rules",
    )

    def __init__(
        self,
        mounts: Sequence[Mount],
        rules: Sequence[CacheRule] = (),
        *,
        fallthrough: bool = False,
        max_files: int = 256,
        max_memory: int = 1 << 25,
        fields_of: Callable[[str], list[tuple[bytes, bytes]]] = lambda path: [],
    ) -> None:
        # Absolute, since the working directory may change; not resolved, since where a link leads may.
        self._mounts = sorted(
            [(mount.prefix, os.path.abspath(mount.directory)) for mount in mounts],
            key=lambda mount: len(mount[0]),
            reverse=True,
        )
        self._rules = [(rule.pattern, rule.value.encode("ascii")) for rule in rules]
        self._fallthrough = fallthrough
        self._max_files = max_files
        self._max_memory = max_memory
        self._fields_of = fields_of
        # By request path, those that were looked at longest ago first.
        self._files: dict[str, StaticFile] = {}
        self._memory = 0

    def find(self, head: RequestHead) -> object:
        """A StaticFile, a status to answer, or None for a request that is not for static files."""
        path = head.path
        if "\ufffd" in path:
            # Perhaps no UTF-8; file names are octets.
            path = unquote_to_bytes(head.raw_path).decode("utf-8", "surrogateescape")
        file = self._files.get(path)
        if file is not None:
            now = monotonic()
            if now < file.valid_until or self._still_valid(path, file, now):
                return file
        return self._look(path)

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._memory = 0

    def _still_valid(self, path: str, file: StaticFile, now: float) -> bool:
        if snapshot(file.path) == file.checked:
            file.valid_until = now + VALID
            # To the end, behind those that nobody asks for.
            del self._files[path]
            self._files[path] = file
            return True
        self._forget(path)
        return False

    def _look(self, path: str) -> object:
        mount = self._mount_of(path)
        if mount is None:
            return None
        prefix, directory = mount
        below = path[len(prefix) :]
        if "\0" in below:
            return BAD
        # Empty segments count as none: the kernel sees them so too.
        segments = [segment for segment in below.split("/") if segment]
        for segment in segments:
            # Dot segments, which clients remove (RFC 3986 §5.2.4), and files that are hidden, but for RFC 8615's.
            if segment.startswith(".") and segment != WELL_KNOWN:
                return self._nothing()
        is_directory = not below or below.endswith("/")
        names = "/".join([directory if directory != "/" else "", *segments])
        key = "/".join([prefix, *segments]) + ("/" if is_directory and below else "")
        known = self._files.get(key)
        if known is not None and key != path:
            now = monotonic()
            if now < known.valid_until or self._still_valid(key, known, now):
                return known
        try:
            if is_directory and below:
                return self._load(key, directory, f"{names}/{INDEX}", "/".join([*segments, INDEX]))
            status = os.stat(names.encode("utf-8", "surrogateescape"))
            if not stat.S_ISDIR(status.st_mode):
                return self._load(key, directory, names, "/".join(segments))
            # Only to where there is something: which directories there are is nobody's business.
            descriptor = open_below(directory, f"{names}/{INDEX}".encode("utf-8", "surrogateescape"))
            os.close(descriptor)
            return REDIRECT
        except FileNotFoundError:
            return self._nothing()
        except OSError as error:
            return self._nothing() if error.errno in ABSENT else UNAVAILABLE
        except ValueError:
            return self._nothing()

    def _mount_of(self, path: str) -> tuple[str, str] | None:
        for mount in self._mounts:
            prefix = mount[0]
            # Not "*", nor an authority.
            if (
                path.startswith(prefix)
                and path[:1] == "/"
                and path[len(prefix) : len(prefix) + 1] in ("", "/")
            ):
                return mount
        return None

    def _nothing(self) -> object:
        return None if self._fallthrough else NOT_FOUND

    def _load(self, key: str, directory: str, name: str, below: str) -> StaticFile:
        path = name.encode("utf-8", "surrogateescape")
        checked = snapshot(path)
        plain = self._open(directory, path)
        encoded: dict[str, Representation] = {}
        try:
            for coding in CODINGS:
                if checked[1 + CODINGS.index(coding)] is not None:
                    try:
                        encoded[coding] = self._open(directory, path + SUFFIXES[coding].encode())
                    except OSError:
                        continue
            extra = self._fields_of(key)
            cache = next((value for pattern, value in self._rules if fnmatchcase(below, pattern)), None)
            if cache is not None:
                extra = [
                    *(field for field in extra if field[0] != b"cache-control"),
                    (b"cache-control", cache),
                ]
            if encoded:
                extra = [*extra, (b"vary", b"Accept-Encoding")]
            media = content_type(name)
            plain.describe(media, "", extra)
            for coding, each in encoded.items():
                each.describe(media, coding, extra)
        except BaseException:
            plain.close()
            for each in encoded.values():
                each.close()
            raise
        file = StaticFile(path, plain, encoded)
        file.checked = checked
        file.valid_until = monotonic() + VALID
        self._keep(key, file)
        return file

    def _open(self, directory: str, path: bytes) -> Representation:
        descriptor = open_below(directory, path)
        try:
            status = os.fstat(descriptor)
            found = Representation(descriptor, status)
            if status.st_size <= MAX_IN_MEMORY:
                content = os.pread(descriptor, MAX_IN_MEMORY + 1, 0)
                if len(content) == status.st_size:
                    found.content = content
                    found.close()
        except BaseException:
            os.close(descriptor)
            raise
        return found

    def _keep(self, key: str, file: StaticFile) -> None:
        if key in self._files:
            self._forget(key)
        self._files[key] = file
        self._memory += file.size_in_memory
        while len(self._files) > self._max_files or self._memory > self._max_memory:
            oldest = next(iter(self._files))
            if oldest == key:
                break
            self._forget(oldest)

    def _forget(self, key: str) -> None:
        file = self._files.pop(key)
        self._memory -= file.size_in_memory
        file.close()


def open_below(directory: str, path: bytes) -> int:
    """The descriptor of a regular file that lies below `directory`, wherever links led. Raises OSError."""
    descriptor = os.open(path, READ)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file")
        # Where it lies now that it is open, rather than where its path led at some other moment.
        lies = os.readlink(f"{OPENED_FILES}/{descriptor}")
        # The directory may be a link that a deployment changes.
        root = os.path.realpath(directory)
        if not lies.startswith(root if root.endswith("/") else root + "/"):
            raise FileNotFoundError(errno.ENOENT, "outside the directory")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def snapshot(path: bytes) -> tuple[object, ...]:
    """What tells whether a file, or one of its encoded siblings, has changed: (device, inode, size, mtime) of each."""
    found: list[object] = []
    for suffix in ("", *SUFFIXES.values()):
        try:
            status = os.stat(path + suffix.encode())
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
