"""What these tests share. They run without torch, too, on the installed package: `make test` does so."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from command_line import command, environment, wait_until_ready
from small_training import small_data  # noqa: F401 - a fixture


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service with two worker processes, ready, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    arguments = command("serve", "--port", port, "--workers", 2, "--model", "general")
    process = subprocess.Popen(
        arguments, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(address)
        yield process, address
    finally:
        process.kill()
        process.wait()
