"""Children end with their parent, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

CHILD = "import sys, time; from digitspot.processes import die_with_parent; {call}; {say}; time.sleep(60)"
SAY = "print('ready', flush=True)"
BY_POPEN = f"""
import os, subprocess, sys
call = f"die_with_parent({{os.getpid()}})"
program = {CHILD!r}.format(call=call, say={SAY!r})
child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""
BY_MULTIPROCESSING = """
import multiprocessing, time
from digitspot.processes import die_with_parent
def work():
    die_with_parent()
    print("ready", flush=True)
    time.sleep(60)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
print(child.pid, flush=True)
child.join()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills with SIGKILL")
@pytest.mark.parametrize("program", [BY_POPEN, BY_MULTIPROCESSING], ids=["Popen", "multiprocessing"])
def test_a_child_ends_when_its_parent_is_killed(program: str) -> None:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        [pid] = lines - {"ready"}
        child = psutil.Process(int(pid))
        parent.kill()
        child.wait(timeout=2)


def test_a_child_that_comes_too_late_ends_at_once() -> None:
    """Its parent ended before the child could ask for the signal."""
    program = CHILD.format(call="die_with_parent(1 << 22)", say=SAY)
    done = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 1
    assert not done.stdout
