"""Child processes that end with their parent, even when it is killed, and signals that wait."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
"""From Linux's `linux/prctl.h`: the signal that a process gets when its parent ends."""


def die_with_parent(parent_pid: int | None = None) -> None:
    """End this process at once when its parent ends; to be called first in a child.

    Linux sends SIGKILL by itself. It does so when the *thread* ends that started the child, so that thread
    must live as long as the child. Elsewhere a thread waits for the end of a pipe whose other end the parent
    holds: the pipe of `multiprocessing`, or else the standard input, which must then be a pipe.

    Args:
        parent_pid: Who started this process. A child of `multiprocessing` knows it.
    """
    known = multiprocessing.parent_process()
    if not sys.platform.startswith("linux"):
        threading.Thread(target=_wait_and_die, daemon=True).start()
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before that call.
    if known is not None and not known.is_alive():
        os._exit(1)
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(1)


def _wait_and_die() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    else:
        sys.stdin.buffer.read()
    os._exit(1)


@contextmanager
def deferred_interrupts(request: Callable[[], None]) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts at once."""
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        request()
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread: signals are the caller's
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
