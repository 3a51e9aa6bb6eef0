"""What is turned away before it is read: too many bytes, slow senders, requests without the key."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("digitspot.serve")


HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""Of every answer: the page loads nothing from elsewhere, and is not shown inside others."""


class TooLargeError(Exception):
    """A body has more bytes than it may have."""


class SlowError(Exception):
    """A body does not arrive in time."""


class BusyError(Exception):
    """Too many bytes of other bodies are held."""


MAX_HELD_BODIES = 8
"""Bodies of the largest size that all requests of a process hold at once."""
CLIENT_LEFT = 499
"""Counted for clients that hang up, as nginx does."""


class Guard:
    """ASGI middleware: counts a body's bytes as they arrive, keeps time, checks the key, logs and measures.

    Args:
        app: What is guarded.
        max_bytes: Of a body.
        max_seconds: For a whole body to arrive.
        api_key: What the header X-API-Key must hold on paths below /v1; None lets everyone in.
        observe: Told the path, the status and the seconds of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        max_seconds: float,
        api_key: str | None,
        observe: Callable[[str, int, float], None],
    ) -> None:
        self.app, self.max_bytes, self.max_seconds = app, max_bytes, max_seconds
        self.api_key, self.observe = api_key, observe
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within its limits."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._guarded(scope, receive, tell)
        except (TooLargeError, SlowError, BusyError) as error:
            if not status:
                await _refuse(tell, REFUSALS[type(error)], str(error))
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            seconds = time.monotonic() - start
            self.observe(scope["path"], status, seconds)
            log.info(
                "request",
                extra={
                    "told": {
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "ms": round(1e3 * seconds, 1),
                    }
                },
            )

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = headers.get("x-api-key", "").encode()
        closed = self.api_key is not None and scope["path"].startswith("/v1")
        if closed and not hmac.compare_digest(given, (self.api_key or "").encode()):
            await _refuse(send, HTTPStatus.UNAUTHORIZED, "the header X-API-Key is missing or wrong")
            return
        told = headers.get("content-length", "0")
        too_large = f"the body has more than {self.max_bytes:,} bytes"
        if told.isdecimal() and int(told) > self.max_bytes:
            raise TooLargeError(too_large)
        deadline, arrived = time.monotonic() + self.max_seconds, 0
        scope.setdefault("state", {})["deadline"] = deadline

        async def counted() -> Message:
            nonlocal arrived
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise SlowError(f"the body did not arrive within {self.max_seconds:g} seconds") from error
            size = len(message.get("body", b""))
            arrived += size
            self._held += size
            if arrived > self.max_bytes:
                raise TooLargeError(too_large)
            if self._held > MAX_HELD_BODIES * self.max_bytes:
                raise BusyError("too many bytes are waiting")
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self._held -= arrived


REFUSALS: dict[type[Exception], HTTPStatus] = {
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    SlowError: HTTPStatus.REQUEST_TIMEOUT,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
}


async def _refuse(send: Send, status: HTTPStatus, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)
