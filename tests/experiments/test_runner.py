"""Commands in processes of their own end when they shall."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from digitspot.experiments.runner import EndedError, StoppedError, Worker, stopping_to_go_on


@pytest.mark.timeout(60)
def test_a_command_of_a_background_job_is_stopped_all_the_same(tmp_path: Path) -> None:
    """Shells start background jobs with SIGINT ignored, which children inherit."""
    endless = ["data", "synth", str(tmp_path / "made"), "--images", "1000000", "--workers", "1"]
    stop, seen = threading.Event(), []

    def watch(num_bytes: int) -> None:
        seen.append(num_bytes)
        stop.set()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(StoppedError):
            Worker(None, tmp_path / "log", stop).run(endless, watch)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen


def test_one_that_fails_is_quoted_and_its_log_named(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(EndedError, match=r"`digitspot read 'no such.jpg'` ended with 3, see .*log") as caught:
        Worker(None, log).run(["read", "no such.jpg"])
    assert not caught.value.killed
    assert "no such.jpg" in log.read_text()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminal hangs up here")
@pytest.mark.parametrize(("handler", "stops"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_hangup_stops_what_does_not_ignore_it(handler: signal.Handlers, stops: bool) -> None:
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with (
            pytest.raises(KeyboardInterrupt, match="goes on") if stops else nullcontext(),
            stopping_to_go_on(),
        ):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)
