"""Which exchanges are logged as what: those that the application answered, sessions, and requests that were refused."""

import logging
import time
from collections.abc import Callable
from typing import Any

from tidegate.config import Logging
from tidegate.gateway.exchange import HTTPExchange
from tidegate.gateway.scope import Peers
from tidegate.http.errors import RequestError, StreamError
from tidegate.http.head import RequestHead
from tidegate.server.access_log import AccessLog, AccessRecord, request_id, selection

logger = logging.getLogger("tidegate")


class ExchangeLog:
    """Writes the access log as `settings` say, and nothing where it is off."""

    def __init__(self, settings: Logging) -> None:
        header = settings.request_id_header
        self._id_header = None if header is None else header.lower().encode("ascii")
        access = logging.getLogger("tidegate.access")
        self._selects = selection(settings)
        self._requests: AccessLog | None = None
        self._sessions: AccessLog | None = None
        if settings.access_log and access.isEnabledFor(logging.INFO):
            self._requests = AccessLog(access, settings.format, settings.template)
            self._sessions = AccessLog(access, settings.format, settings.websocket_template)

    @property
    def completed(self) -> Callable[[Any], None] | None:
        """What to call with each exchange that is complete; None where that is not logged."""
        return None if self._requests is None else self._completed

    def identify(self, request: RequestHead) -> str:
        return request_id(request.headers, self._id_header)

    def refused(self, error: RequestError | StreamError, request: RequestHead | None, peers: Peers) -> None:
        """A request was answered in the application's place, or its stream was reset (a StreamError)."""
        status, octets = 0, 0
        if isinstance(error, RequestError):
            status = error.status
            octets = 0 if request is not None and request.method == "HEAD" else len(error.content)
        logger.debug(
            "Refused a request of %s with %s: %s",
            peers.client or "-", status or "a reset", error.detail,
        )  # fmt: skip
        if self._requests is not None:
            known = RequestHead() if request is None else request
            if self._selects is not None and not self._selects(known.path, status):
                return
            self._requests.log(
                AccessRecord(
                    peers.client,
                    known.method or "-",
                    known.target or b"-",
                    known.http_version,
                    status,
                    octets,
                    None,
                    0.0,
                    self.identify(known),
                    known.headers,
                )
            )

    def _completed(self, exchange: Any) -> None:
        request = exchange.request
        if self._selects is not None and not self._selects(request.path, exchange.status):
            return
        begun = exchange.started_at
        session = None if isinstance(exchange, HTTPExchange) else exchange
        log = self._requests if session is None else self._sessions
        assert log is not None
        log.log(
            AccessRecord(
                exchange.peers.client,
                request.method,
                request.target,
                request.http_version,
                exchange.status,
                exchange.body_sent,
                exchange.first_byte_at - begun if exchange.first_byte_at else None,
                time.perf_counter() - begun,
                exchange.identity(),
                request.headers,
                session,
            )
        )
