"""The processes of a service: workers that are replaced when they die, and that finish what they took."""

from __future__ import annotations

import os
import socket
from socket import AF_INET, AF_INET6
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from digitspot.errors import ConfigError
from digitspot.processes import die_with_parent
from digitspot.serve.app import create_app

KEEP_ALIVE_SECONDS = 15
QUEUE = 2048
"""Connections that wait to be accepted."""
PATIENCE_SECONDS = 0.5
"""How long a new connection has for its first request after the service was told to end."""
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "digitspot.serve.limits.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": "INFO", "propagate": False}
        for name in ("digitspot", "uvicorn", "uvicorn.error")
    },
}
"""JSON lines on stderr, without any content of images."""


def run_processes(host: str, port: int, workers: int, max_seconds: float) -> None:
    """Serve the application of `digitspot.serve.app` until SIGTERM or SIGINT.

    Args:
        host: Where to listen.
        port: Likewise.
        workers: Processes that read; one that dies is replaced.
        max_seconds: That a request may take. After a signal, requests that were taken have as long.
    """
    config = uvicorn.Config(
        "digitspot.serve.processes:create_worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="asyncio",
        backlog=1,  # a worker accepts as many at a time: the first to wake up leaves some to the others
        access_log=False,
        log_config=LOGGING,
        http=_Patient,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(max_seconds) + 5,
    )
    _Supervisor(config, sockets=[config.bind_socket()]).run()


def check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at.

    Raises:
        ConfigError: The port is taken or none, or this machine does not have the address.
    """
    if not 0 < port < 1 << 16:
        raise ConfigError(f"--port {port}: need 1 to {(1 << 16) - 1}")
    try:
        socket.create_server((host, port), family=AF_INET6 if ":" in host else AF_INET).close()
    except OSError as error:
        raise ConfigError(
            f"http://{host}:{port} cannot be listened at: {os.strerror(error.errno or 0)}",
            hint="Choose another --port.",
        ) from error


def create_worker() -> FastAPI:
    """Make the application of a worker process, which ends with the one that started it."""
    die_with_parent()
    return create_app()


class _Patient(H11Protocol):
    """Waits for the request of a connection that was just accepted, before it closes it."""

    def shutdown(self) -> None:
        """End the connection, after the answer to what was asked."""
        if self.cycle is None:
            self.loop.call_later(PATIENCE_SECONDS, super().shutdown)
        else:
            super().shutdown()


class _Supervisor(Multiprocess):
    """Closes its own socket before the workers end, so that no connection waits for nobody."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, and take what they measured as the last out of the sums."""
        for each in self.sockets:
            each.listen(QUEUE)  # a worker that started has set its own backlog
        before = {each.pid for each in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {each.pid for each in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """Tell the workers to answer what they took, and to end."""
        for each in self.sockets:
            each.close()
        super().terminate_all()
