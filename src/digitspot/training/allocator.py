"""How the process keeps its memory while it trains."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Parameters of glibc's `mallopt` (malloc.h)."""
SMALL = 2**20
"""Bytes; larger pieces are mapped and go back when freed."""


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next tensor instead of handing it back.

    By default glibc maps large tensors anew, and the system clears their pages at the first touch: some
    steps of `nano` then take three times as long (benchmarks/results/memory.md). The process holds its peak.

    Returns:
        Whether this C library can be told so; others are left as they are.
    """
    libc = _glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> bool:
    """Have the C library hand back what is freed, from now on; a loader process stays small.

    Returns:
        Whether this C library can be told so.
    """
    libc = _glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, SMALL) and libc.mallopt(M_TRIM_THRESHOLD, SMALL))


def hand_back_freed_memory() -> None:
    """Hand back once all whole pages that are free, whatever the C library was told to keep."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
