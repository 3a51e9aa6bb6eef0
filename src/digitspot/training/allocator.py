"""How the process keeps its memory while it trains."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt` (malloc.h)."""


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next tensor instead of handing it back.

    By default glibc maps every large tensor anew, and the system clears its pages at the first touch: a
    fifth of `nano`'s step (docs/performance.md). The process holds its peak from then on.

    Returns:
        Whether this C library can be told so; others are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
