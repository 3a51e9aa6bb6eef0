"""Processes that make images: none, or as many as there are cores."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from digitspot.processes import die_with_parent

Submit = Callable[..., "Future[Any]"]


@contextmanager
def making(workers: int) -> Iterator[Submit]:
    """Give a function that has another function called, here or in one of `workers` processes.

    They are started afresh and not forked, since whoever calls may have threads. Ctrl-C is for the caller:
    what has not begun is dropped, and the processes end with the block, or with the caller if it is killed.
    """
    if workers < 2:
        yield _now
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle)
    try:
        yield pool.submit
    finally:
        pool.shutdown(cancel_futures=True)


def _now(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(function(*arguments))
    return future


def _settle() -> None:
    """Leave Ctrl-C to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
