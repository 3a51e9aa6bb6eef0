"""The one runner of experiments: digitspot commands as child processes, side by side on several devices.

Each command is followed: its memory is measured, it is interrupted on Ctrl-C, and it ends with this process.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Protocol

from rich.markup import escape

from digitspot.errors import INTERRUPTED, DigitspotError
from digitspot.files import claiming
from digitspot.progress import stderr
from digitspot.training.memory import tree_bytes

LOOK_EVERY_SECONDS = 1.0
PROGRAM = (
    "import signal, sys; from digitspot.processes import die_with_parent; die_with_parent({pid}); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.stdout = sys.stderr; "
    "from digitspot.cli import main; main()"
)
"""A command prints its results with its messages: stdout is for the table. It heeds SIGINT, which shells let
background jobs and their children ignore."""


class StoppedError(Exception):
    """The user asked to stop; the command has saved what it can."""


class EndedError(DigitspotError):
    """A command failed.

    Args:
        message: Which command, and where it said why.
        killed: Whether a signal ended it that this process did not send.
    """

    def __init__(self, message: str, *, killed: bool) -> None:
        super().__init__(message)
        self.killed = killed


@dataclass(frozen=True)
class Worker:
    """Runs commands of digitspot, one at a time.

    Attributes:
        device: The only CUDA device that they see, as `CUDA_VISIBLE_DEVICES` names it; None hides none.
        log: Where their messages go; None shows them.
        stop: When it is set, a command is interrupted, and waited for.
    """

    device: str | None = None
    log: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, arguments: Sequence[str], watch: Callable[[int], None] | None = None) -> None:
        """Run a command to its end.

        Args:
            arguments: Of `digitspot`.
            watch: Called once a second with the bytes that the command and all processes below it have in
                memory (proportional set size); 0 if this system does not say.

        Raises:
            StoppedError: It was interrupted.
            EndedError: It failed, or something else ended it.
        """
        device = {} if self.device is None else {"CUDA_VISIBLE_DEVICES": self.device}
        with nullcontext() if self.log is None else open(self.log, "a", encoding="utf-8") as messages:
            # In a session of its own: Ctrl-C in the terminal reaches the command once, from here.
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(pid=os.getpid()), *arguments],
                stdin=subprocess.PIPE,
                stderr=messages,
                env={**os.environ, **device},
                start_new_session=True,
            )
            _follow(process, self.stop, watch)
        if self.stop.is_set():
            raise StoppedError
        if code := process.returncode:
            where = "see above" if self.log is None else f"see {self.log}"
            raise EndedError(
                f"`digitspot {shlex.join(arguments)}` ended with {code}, {where}",
                killed=code < 0 or code == INTERRUPTED,
            )


def _follow(
    process: subprocess.Popen[bytes], stop: threading.Event, watch: Callable[[int], None] | None
) -> None:
    """Wait for a process; interrupt it once when `stop` is set, or on Ctrl-C here."""
    interrupted = False
    try:
        while process.poll() is None:
            if stop.is_set() and not interrupted:
                process.send_signal(signal.SIGINT)
                interrupted = True
            try:
                process.wait(LOOK_EVERY_SECONDS)
            except subprocess.TimeoutExpired:
                if watch is not None:
                    watch(tree_bytes(process.pid))
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


class Task(Protocol):
    """One piece of an experiment that a worker does, such as a training and its answers."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def lock(self) -> Path:
        """Held by the process that does it: several may share the output folder."""

    @property
    def log(self) -> Path:
        """Where its messages go when several tasks are done at a time."""

    def do(self, worker: Worker) -> None:
        """Do what is not done yet."""


@dataclass
class Ended:
    """How tasks ended that are not done.

    Attributes:
        failures: The name and the reason of each that failed.
        elsewhere: Names of those that another process is doing.
    """

    failures: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def do_all(tasks: Sequence[Task], devices: Sequence[str | None]) -> Ended:
    """Do tasks in their order, one at a time on each device; one that fails does not end the others.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after every command saved what it can.
    """
    ended, stop, free = Ended(), threading.Event(), SimpleQueue[str | None]()
    for device in devices:
        free.put(device)

    def work(task: Task) -> None:
        device = free.get()
        try:
            if not stop.is_set():
                _do_one(task, Worker(device, task.log if len(devices) > 1 else None, stop), ended)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        pending = [pool.submit(work, task) for task in tasks]
        try:
            for each in pending:
                each.result()
        except BaseException:
            stop.set()
            raise
    return ended


def _do_one(task: Task, worker: Worker, ended: Ended) -> None:
    try:
        with claiming(task.lock) as mine:
            if mine:
                task.do(worker)
            else:
                ended.elsewhere.append(task.name)
    except StoppedError:
        pass
    except Exception as error:  # the other tasks go on, whatever it is
        if not isinstance(error, DigitspotError):
            traceback.print_exc()
        ended.failures.append(f"{task.name}: {error or type(error).__name__}")
        stderr().print(f"[bold red]failed:[/] {escape(ended.failures[-1])}")


@contextmanager
def stopping_to_go_on() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C while the block runs, and say that the same command goes on.

    A signal that is ignored stays ignored: so nohup lets commands outlive their terminal.
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
