"""What the training and its loader processes have in memory, and a guard over it."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from digitspot.training.allocator import hand_back_freed_memory

LOOK_EVERY_SECONDS, SHOW_EVERY_SECONDS = 0.5, 5.0
"""With a budget, and without. Summing up two gigabytes of pages takes the kernel some ten milliseconds."""


def size_text(num_bytes: float) -> str:
    """Say a size in words, "251 MiB" or "1.50 GiB"."""
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def can_measure() -> bool:
    """Tell whether this system says what its processes have in memory."""
    return Path("/proc/self/smaps_rollup").exists()


def used_bytes() -> int:
    """Return the proportional set size of this process and of those that it started.

    A page that several share counts for each as its share, so that the sum counts it once.
    """
    pids = [os.getpid(), *(child.pid or 0 for child in multiprocessing.active_children())]
    return sum(map(_pss_bytes, pids))


def tree_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all below it, 0 where the system does not say."""
    return sum(map(_pss_bytes, processes_below(pid)))


def processes_below(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    pids = [pid]
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                pids += processes_below(int(child))
    except OSError:  # it has just ended, or this is no Linux
        pass
    return pids


def status_bytes(name: str) -> int:
    """Return what the kernel says of this process in bytes, "VmRSS" now or "VmHWM" at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


HAND_BACK_SHARE, GUARD_SHARE = 0.8, 0.985
"""Of the budget: above the first, freed memory is handed back; above the second in spite of that, the
training stops. Between two looks `nano` was seen to grow by 160 MiB, where its batches changed shape."""


@dataclass
class Memory:
    """Looks now and then at what is used.

    Attributes:
        budget: Bytes that must not be passed; None only shows what is used.
        used: Bytes after the last look, 0 where this system does not say.
        peak: Most bytes at any look, before anything was handed back.
    """

    budget: int | None
    used: int = 0
    peak: int = 0
    _looked: float = field(default=-SHOW_EVERY_SECONDS, repr=False)

    def look(self) -> None:
        """Bring `used` up to date, now and then; near the budget, hand back what was freed.

        The training keeps freed memory (`keep_freed_memory`), in pieces that fit the shapes of its batches
        ever less: what is used at a look is the most since the memory was last handed back.
        """
        now = time.monotonic()
        pause = LOOK_EVERY_SECONDS if self.budget else SHOW_EVERY_SECONDS
        if now - self._looked < pause or not can_measure():
            return
        self._looked = now
        self.used = used_bytes()
        self.peak = max(self.peak, self.used)
        if self.budget is not None and self.used > HAND_BACK_SHARE * self.budget:
            hand_back_freed_memory()
            self.used = used_bytes()

    def figures(self) -> dict[str, int]:
        """Return what is used in MiB, for the records; nothing where this system does not say.

        On a CUDA device also the most that its allocator has held.
        """
        figures = {"memory_mib": self.used >> 20} if self.used else {}
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            figures["device_memory_mib"] = torch.cuda.max_memory_reserved() >> 20
        return figures

    @property
    def exceeded(self) -> bool:
        """Whether the budget is used up, less what may be added before the next look."""
        return self.budget is not None and self.used > GUARD_SHARE * self.budget

    def __str__(self) -> str:
        if not self.used:
            return ""
        return size_text(self.used) + (f" of {size_text(self.budget)}" if self.budget else "")
