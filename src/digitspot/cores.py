"""How many threads to work with, and threads that survive a fork."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_CORES = 16
"""More threads are used only where somebody asks for them: many machines show cores that others use."""
CGROUPS = Path("/sys/fs/cgroup")


def num_cores() -> int:
    """Return how many cores to use.

    OMP_NUM_THREADS decides where it is set. Otherwise it is the smallest of the cores that this process may
    run on, its container's CPU quota, rounded up, and `MAX_CORES`.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    visible = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(visible, cpu_quota() or MAX_CORES, MAX_CORES))


def cpu_quota(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the cores that this process's control groups leave it, rounded up; None is no limit.

    Args:
        root: Where control groups are mounted: version 2, or version 1 with its folder `cpu`.
        own: The file that names this process's groups.
    """
    paths = {""}
    with suppress(OSError):
        paths |= {line.split(":", 2)[2] for line in own.read_text().splitlines() if line.count(":") > 1}
    quotas = []
    for path in paths:
        for folder in (root, root / "cpu"):
            group = folder / path.lstrip("/")
            quotas += [_quota_of(each) for each in (group, *group.parents) if each.is_relative_to(folder)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(group: Path) -> int | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            quota, period = " ".join((group / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return max(1, -(-int(quota) // int(period)))
    return None


class Threads:
    """A pool of threads that belongs to one process: a forked child has none of them, and starts its own.

    Args:
        num: How many.
    """

    def __init__(self, num: int) -> None:
        self.num = num
        self._pool: ThreadPoolExecutor | None = None
        after_fork(self._forget)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Work on items side by side; return the results in order."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num)
        return self._pool.map(work, items)

    def _forget(self) -> None:
        self._pool = None


_FORKED: list[weakref.WeakMethod[Callable[[], None]]] = []


def after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in each forked child, for as long as its object is there."""
    _FORKED[:] = [each for each in _FORKED if each() is not None]
    _FORKED.append(weakref.WeakMethod(method))


def _call_forked() -> None:
    for reference in list(_FORKED):
        method = reference()
        if method is not None:
            method()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_call_forked)
