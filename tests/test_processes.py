"""Children end with their parent, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

WORK = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
CHILD = f"from digitspot.processes import die_with_parent; die_with_parent(%d); {WORK}"
BY_POPEN = f"""
import os, subprocess, sys
program = "{CHILD}" % os.getpid()
subprocess.run([sys.executable, "-c", program], stdin=subprocess.PIPE)
"""
BY_MULTIPROCESSING = f"""
import multiprocessing
from digitspot.processes import die_with_parent
def work():
    die_with_parent()
    {WORK}
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills with SIGKILL")
@pytest.mark.parametrize("program", [BY_POPEN, BY_MULTIPROCESSING], ids=["Popen", "multiprocessing"])
def test_a_child_ends_when_its_parent_is_killed(program: str) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(timeout=2)


def test_a_child_that_comes_too_late_ends_at_once() -> None:
    """Its parent ended before the child could ask for the signal."""
    command = [sys.executable, "-c", CHILD % (1 << 22)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 1
    assert not done.stdout
