"""What holds for the requests below a path (`Route`), and which route that is."""

from collections.abc import Sequence

from tidegate.config.edge import Route
from tidegate.edge.compression import Compression
from tidegate.http.errors import RequestError
from tidegate.http.head import RequestHead

# Caches are not told to keep what went wrong.
CACHEABLE = 400


class Policy:
    """A `Route` at work. `max_content` (octets) and `max_active` (requests) are -1 for no limit, `timeout` (seconds) 0.

    `active` counts its requests that are in the application.
    """

    __slots__ = (
        "active",
        "cache_control",
        "compression",
        "fields",
        "max_active",
        "max_content",
        "methods",
        "timeout",
    )

    def __init__(self, route: Route, compression: Compression | None, max_content: int | None) -> None:
        limit = max_content if route.limit_body is None else route.limit_body
        self.max_content = -1 if limit is None else limit
        self.max_active = -1 if route.limit_concurrency is None else route.limit_concurrency
        self.timeout = 0.0 if route.timeout is None else route.timeout
        self.methods = frozenset(route.methods)
        self.fields = list(route.headers)
        self.cache_control = None if route.cache_control is None else route.cache_control.encode("ascii")
        self.compression = None if route.compress is False else compression
        self.active = 0

    @property
    def all_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of a good answer."""
        return (
            self.fields
            if self.cache_control is None
            else [*self.fields, (b"cache-control", self.cache_control)]
        )

    def takes(self, method: str) -> bool:
        """Whether `method` is allowed here; HEAD is where GET is (RFC 9110 §9.3.2)."""
        return not self.methods or method in self.methods or (method == "HEAD" and "GET" in self.methods)

    @property
    def allow(self) -> bytes:
        """The Allow field's value (RFC 9110 §10.2.1)."""
        methods = self.methods | {"HEAD"} if "GET" in self.methods else self.methods
        return ", ".join(sorted(methods)).encode("ascii")

    def admit(self, head: RequestHead) -> None:
        """Raise RequestError for a request that is not let into the application."""
        if 0 <= self.max_content < head.content_length:
            raise RequestError(413, "The content is too large.")
        if 0 <= self.max_active <= self.active:
            raise RequestError(503, "This is busy.", ((b"retry-after", b"1"),))


class Policies:
    """Finds the policy of a path: that of the longest route, by whole segments.

    The path is the one that the application sees, decoded: what is escaped in it makes no difference.
    """

    __slots__ = ("_depth", "_policies", "_root")

    def __init__(self, policies: Sequence[tuple[str, Policy]]) -> None:
        self._policies = dict(policies)
        self._root = self._policies.pop("", None)
        self._depth = max((path.count("/") for path in self._policies), default=0)

    def find(self, path: str) -> Policy | None:
        found = self._root
        end = 0
        for _ in range(self._depth):
            end = path.find("/", end + 1)
            policy = self._policies.get(path if end < 0 else path[:end])
            if policy is not None:
                found = policy
            if end < 0:
                break
        return found
