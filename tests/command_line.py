"""The command line in a process of its own, as users run it."""

from __future__ import annotations

import os
import subprocess
import sys


def command(*arguments: object) -> list[str]:
    """Return the command line that runs digitspot with these arguments."""
    return [sys.executable, "-m", "digitspot", *map(str, arguments)]


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
