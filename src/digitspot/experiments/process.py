"""digitspot's own commands in processes of their own, with their memory followed from outside."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from digitspot.errors import INTERRUPTED, DigitspotError
from digitspot.training.memory import tree_bytes

LOOK_EVERY_SECONDS = 1.0
PROGRAM = (
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.stdout = sys.stderr; "
    "from digitspot.cli import main; main()",
)
"""The command line, its results beside the messages: stdout is for the table. It heeds SIGINT, which a shell
lets its background jobs ignore, and theirs with them."""


class StoppedError(Exception):
    """The user asked to stop; the process has saved what it can."""


class EndedError(DigitspotError):
    """A command did not come to its end.

    Args:
        message: Which, and where it said why.
        killed: Whether a signal ended it, which was not sent from here.
    """

    def __init__(self, message: str, *, killed: bool) -> None:
        super().__init__(message)
        self.killed = killed


@contextmanager
def stopping_to_go_on() -> Iterator[None]:
    """Take SIGTERM and SIGHUP as Ctrl-C while the block runs, and say that the same command goes on.

    What is ignored stays so: nohup lets commands outlive their terminal like that.
    """

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    signals = [each for each in known if signal.getsignal(each) != signal.SIG_IGN]
    before = [signal.signal(each, interrupt) for each in signals]
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("stopped; the same command goes on") from error
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def run_followed(
    arguments: Sequence[str],
    stop: threading.Event,
    *,
    device: str | None,
    log: Path | None,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Run a command to its end.

    Args:
        arguments: Of `digitspot`.
        stop: When it is set, the command is interrupted, and waited for.
        device: The only CUDA device that it sees, as `CUDA_VISIBLE_DEVICES` names it; None hides none.
        log: Where its messages go; None shows them.
        watch: Told once a second how many bytes it and all below it have (proportional set size); 0 where
            this system does not say.

    Raises:
        StoppedError: It was interrupted.
        EndedError: It failed, or was ended by something else.
    """
    with nullcontext() if log is None else open(log, "a", encoding="utf-8") as messages:
        # A session of its own: Ctrl-C in the terminal reaches it once, from here.
        process = subprocess.Popen(
            [*PROGRAM, *arguments], stderr=messages, env=_environment(device), start_new_session=True
        )
        _follow(process, stop, watch)
    if stop.is_set():
        raise StoppedError
    _check_ended(arguments, process.returncode, log)


def run_here(arguments: Sequence[str]) -> None:
    """Run a command to its end, with this terminal and its Ctrl-C.

    Raises:
        EndedError: It failed, or was ended by something else.
    """
    _check_ended(arguments, subprocess.run([*PROGRAM, *arguments]).returncode, None)


def _check_ended(arguments: Sequence[str], code: int, log: Path | None) -> None:
    if code:
        where = "see above" if log is None else f"see {log}"
        raise EndedError(
            f"`digitspot {shlex.join(arguments)}` ended with {code}, {where}",
            killed=code < 0 or code == INTERRUPTED,
        )


def _follow(
    process: subprocess.Popen[bytes], stop: threading.Event, watch: Callable[[int], None] | None
) -> None:
    interrupted = False
    while True:
        try:
            process.wait(LOOK_EVERY_SECONDS)
            return
        except subprocess.TimeoutExpired:
            if watch is not None:
                watch(tree_bytes(process.pid))
        if stop.is_set() and not interrupted:
            process.send_signal(signal.SIGINT)
            interrupted = True


def _environment(device: str | None) -> Mapping[str, str]:
    return {**os.environ, **({} if device is None else {"CUDA_VISIBLE_DEVICES": device})}
