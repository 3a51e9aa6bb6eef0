"""The command line in a process of its own, as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil


def command(*arguments: object) -> list[str]:
    """Return the command line that runs digitspot with these arguments."""
    return [sys.executable, "-m", "digitspot", *map(str, arguments)]


def torchrun(launch: Sequence[object], *arguments: object) -> list[str]:
    """Return the command line that runs digitspot in several processes."""
    launch = [*launch, "-m", "digitspot", *arguments]
    return [sys.executable, "-m", "torch.distributed.run", *map(str, launch)]


def digitspot(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run digitspot in a process of its own."""
    result = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(), timeout=250
    )
    assert not check or result.returncode == 0, result.stderr
    return result


def environment() -> dict[str, str]:
    """Return this environment, with one thread: tests run beside others."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a process with SIGKILL; return whether it was still running.

    Raises:
        AssertionError: Two seconds later, a process that it had started is left.
    """
    if process.poll() is not None:
        return False
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(below, timeout=2)
    names = []
    for each in left:
        with suppress(psutil.NoSuchProcess):  # or it has ended and nobody has asked for its exit code yet
            names.append(" ".join(each.cmdline()))
    for each in left:
        each.kill()
    assert not names
    return True


def wait_until_ready(address: str, seconds: float = 60) -> None:
    """Wait until a service takes requests."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{address}/ready", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"{address} is not ready")


HOLD = """
import sys
from pathlib import Path
from digitspot.files import claiming
with claiming(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(lock: Path) -> Iterator[None]:
    """Hold a lock file in another process while the block runs, and kill it.

    Raises:
        BlockingIOError: It could not be had.
    """
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        if other.stdout.readline() != "True\n":
            raise BlockingIOError(f"{lock} is held by another process")
        yield
        other.kill()
