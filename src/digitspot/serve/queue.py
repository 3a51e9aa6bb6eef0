"""Images that wait to be read: one thread reads them, a few of a kind together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from digitspot.errors import DataError
from digitspot.reader import Reader
from digitspot.reads import Read

MAX_BATCH = 8
"""Images that are read in one call. A batch of the network has images of one padded shape."""

MAX_BATCH_PIXELS = 8_000_000
"""Of the images of a batch together, all of which are held until it is read; a larger image is read alone."""

Answer = list[Read] | DataError
"""The number of an image, or all of them; or why it cannot be read."""


class FullError(Exception):
    """More images wait than may wait."""


@dataclass(frozen=True, eq=False)
class _Job:
    data: bytes
    pixels: int
    reader: Reader
    every: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer]

    def fits(self, first: _Job, pixels: int) -> bool:
        """Return whether it can be read together with a job and others, of so many pixels together."""
        is_like = self.reader is first.reader and not self.every
        return is_like and pixels + self.pixels <= MAX_BATCH_PIXELS


class ReadingQueue:
    """Reads images in one thread.

    Args:
        max_waiting: Images that may wait.
        observe: Told how many wait or are being read, whenever that changes.
    """

    def __init__(self, max_waiting: int, observe: Callable[[int], object] = lambda _: None) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._max_waiting = max_waiting
        self.num_waiting = 0
        self._observe = observe
        self._thread = threading.Thread(target=self._work, name="reading", daemon=True)
        self._thread.start()

    async def read(
        self, images: Sequence[bytes], pixels: Sequence[int], reader: Reader, every: bool = False
    ) -> list[Answer]:
        """Read images; whoever gives up waiting leaves the queue.

        Args:
            images: Files' bytes.
            pixels: How many each has.
            reader: Reads them.
            every: Return every number of an image.

        Raises:
            FullError: Too many are waiting.
        """
        if self.num_waiting + len(images) > self._max_waiting:
            raise FullError
        loop = asyncio.get_running_loop()
        jobs = [
            _Job(data, num, reader, every, loop, loop.create_future())
            for data, num in zip(images, pixels, strict=True)
        ]
        for job in jobs:
            self._count(1)
            job.future.add_done_callback(self._left)
            self._jobs.put(job)
        return list(await asyncio.gather(*(job.future for job in jobs)))

    def _left(self, _: object) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        self.num_waiting += change
        self._observe(self.num_waiting)

    def close(self) -> None:
        """Read what waits, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        ahead: _Job | None = None
        while True:
            first = ahead or self._jobs.get()
            ahead = None
            if first is None:
                return
            batch, pixels = [first], first.pixels
            while len(batch) < MAX_BATCH and not first.every:
                with suppress(queue.Empty):
                    following = self._jobs.get_nowait()
                    if following is not None and following.fits(first, pixels):
                        batch.append(following)
                        pixels += following.pixels
                        continue
                    if following is None:
                        self._jobs.put(None)
                    ahead = following
                break
            _answer([job for job in batch if not job.future.cancelled()])


def _answer(jobs: Sequence[_Job]) -> None:
    """Read images, and hand the answers to those who wait."""
    if not jobs:
        return
    answers: list[Answer | Exception] = []
    try:
        if jobs[0].every:
            answers = [jobs[0].reader.read_all(jobs[0].data)]
        else:
            read = jobs[0].reader.read_each([job.data for job in jobs], len(jobs))
            answers = [each if isinstance(each, DataError) else [each] for each in read]
    except DataError as error:
        answers = [error]
    except Exception as error:  # a defect: whoever waits is told, and the thread lives on
        answers = [error] * len(jobs)
    for job, answer in zip(jobs, answers, strict=True):
        with suppress(RuntimeError):  # the loop is closed
            job.loop.call_soon_threadsafe(_settle, job.future, answer)


def _settle(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception) and not isinstance(answer, DataError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
