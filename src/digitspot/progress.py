"""Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_EVERY_SECONDS = 30.0
"""How often a line is written where there is no terminal."""


class Update(Protocol):
    """Tells how much is done."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Set what is done of a total, and a short note such as the loss."""
        ...


class Rate(ProgressColumn):
    """Units a second, over the last seconds."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate, or a dash before there is one."""
        speed = task.finished_speed or task.speed
        return Text("-" if speed is None else f"{speed:.1f} {self.unit}/s", style="progress.data.speed")


def stderr() -> Console:
    """Return the console that people read; stdout is for results."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def tracking(description: str, unit: str = "img") -> Iterator[Update]:
    """Show progress while the block runs.

    Args:
        description: What is being done.
        unit: What is counted.

    Yields:
        A function to call with what is done; call it as often as convenient.
    """
    console = stderr()
    if not console.is_terminal:
        yield _Lines(console, description, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, speed_estimate_period=60) as bar:
        task = bar.add_task(description, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield update


def working(description: str) -> AbstractContextManager[object]:
    """Show on a terminal that something goes on whose length is not known; elsewhere nothing."""
    console = stderr()
    return console.status(f"{description} ...") if console.is_terminal else nullcontext()


class _Lines:
    """Progress as lines, for logs."""

    def __init__(self, console: Console, description: str, unit: str) -> None:
        self.console, self.description, self.unit = console, description, unit
        self.start = self.shown = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.start = done, now
        if now - self.shown < LINE_EVERY_SECONDS:
            return
        self.shown = now
        rate = (done - self.first) / max(1e-9, now - self.start)
        left = f"{(total - done) / rate / 60:.1f} min left" if rate > 0 else ""
        line = f"{self.description}: {done}/{total} {rate:.1f} {self.unit}/s {left} {note}"
        self.console.print(line.rstrip(), markup=False)
