"""A limit on the memory of some processes together, imposed by the kernel through a control group."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNDER = 'echo $$ > "$0" && exec "$@"'  # a shell that joins the group, then becomes the command


@dataclass(frozen=True)
class MemoryLimit:
    """A control group below the one that this process is in.

    Attributes:
        folder: The group.
        version: 1 or 2, of the kernel's interface.
    """

    folder: Path
    version: int

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs with all its children in the group."""
        return ["sh", "-c", UNDER, str(self.folder / "cgroup.procs"), *command]

    def kills(self) -> int:
        """Return how many processes were killed for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        rows = dict(line.split() for line in (self.folder / name).read_text().splitlines())
        return int(rows["oom_kill"])

    def peak_bytes(self) -> int:
        """Return the most that the group held, pages of files that it read included."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        return int((self.folder / name).read_text())


@contextmanager
def limited(num_bytes: int) -> Iterator[MemoryLimit]:
    """Make a group that holds at most so many bytes, swap included; it is gone afterwards.

    Raises:
        OSError: This machine does not let us.
    """
    groups = dict(
        line.split(":", 1)[1].split(":", 1) for line in Path("/proc/self/cgroup").read_text().splitlines()
    )
    version = 1 if "memory" in groups else 2
    parent = ROOT / "memory" / groups["memory"].strip("/") if version == 1 else ROOT / groups[""].strip("/")
    folder = parent / f"limit-{os.getpid()}"
    folder.mkdir()
    try:
        names = ("limit_in_bytes", "memsw.limit_in_bytes") if version == 1 else ("max",)
        for name in names:
            (folder / f"memory.{name}").write_text(str(num_bytes))
        if version == 2:
            (folder / "memory.swap.max").write_text("0")
        yield MemoryLimit(folder, version)
    finally:
        while left := (folder / "cgroup.procs").read_text().split():  # whose parent was killed
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.1)
        folder.rmdir()
