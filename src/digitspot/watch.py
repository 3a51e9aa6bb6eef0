"""Watching a folder, a film or a camera: each frame once, several voted to one reading, kept in SQLite."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.errors import ConfigError, DataError
from digitspot.files import encodable
from digitspot.images import decode_image, list_images
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reading import Rules, abstain, vote
from digitspot.reads import Read
from digitspot.sinks import Sink
from digitspot.types import ImageArray, Reading
from digitspot.watch_store import Store

SETTLED_SECONDS = 1.0
"""A file that changed later than this is still being written."""
COMPLETE_SECONDS = 60.0
"""A file that cannot be decoded may still be arriving until it is so old."""
FILM_FPS = 25.0
"""Of films that do not say it."""
RETRIES = 5
TURNED_DOWN = 5
"""After so many values in a row that cannot follow the one before, that one may be the wrong one."""
NOTHING = Reading(text=None, probability=0.0, decision="abstained", reason="unsure")
"""Of frames that cannot be read."""


@dataclass(frozen=True)
class Frame:
    """An image of a source.

    Attributes:
        key: What tells it from the others: a file's name, or a frame's number.
        image: uint8 RGB `[H, W, 3]`; None where it cannot be read.
        at: When it was taken, in seconds since 1970, or since the film's start.
    """

    key: str
    image: ImageArray | None
    at: float


def require_source(source: str) -> None:
    """Refuse what is no folder, no film and no address.

    Raises:
        DataError: There is no such source.
    """
    if "://" not in source and not Path(source).exists():
        raise DataError(f"{source}: no such folder or film")


def frames_of(source: str, store: Store, every: float, follow: bool) -> Iterator[Frame]:
    """Yield the frames that the store does not know yet, in order.

    Args:
        source: A folder, a film, or the address of a camera (rtsp, http).
        store: What was read before.
        every: Seconds between two frames of a film or a camera, and between two looks at a folder.
        follow: Wait for more files in a folder.

    Raises:
        DataError: It cannot be read.
        ConfigError: Films need PyAV, which is not installed.
    """
    if Path(source).is_dir():
        return _folder_frames(Path(source), store, every, follow)
    return _film_frames(source, store, every)


def _folder_frames(folder: Path, store: Store, every: float, follow: bool) -> Iterator[Frame]:
    given: set[str] = set()  # those of a group that is not kept yet, too
    while True:
        found = [(path.stat().st_mtime, path) for path in list_images(folder).paths if path.exists()]
        unsettled = False
        for at, path in sorted(found):
            key = encodable(path.relative_to(folder).as_posix())
            if key in given or store.knows(key):
                continue
            age = abs(time.time() - at)
            if age < SETTLED_SECONDS:
                unsettled = True
                continue
            try:
                image = decode_image(path)
            except DataError:
                if follow and age < COMPLETE_SECONDS:
                    continue
                image = None
            given.add(key)
            yield Frame(key, image, at)
        if not follow and not unsettled:
            return
        time.sleep(every if follow else SETTLED_SECONDS)


def _film_frames(source: str, store: Store, every: float) -> Iterator[Frame]:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ConfigError(f"{source} needs PyAV", hint="pip install 'digitspot[watch]'") from error
    live = "://" in source
    next_at, failures = 0.0, 0
    while True:
        try:
            with av.open(source, timeout=(10, 10) if live else None) as film:
                if not film.streams.video:
                    raise DataError(f"{source} shows no film")
                num, fps = 0, float(film.streams.video[0].average_rate or FILM_FPS)
                for num, frame in enumerate(film.decode(video=0), 1):
                    failures = 0
                    in_film = (num - 1) / fps if frame.time is None else frame.time  # raw H.264 has no times
                    at = time.time() if live else float(in_film)
                    if at + 1e-6 < next_at:
                        continue
                    next_at = at + every
                    key = f"{at:.3f}" if live else str(num - 1)
                    if not store.knows(key):
                        yield Frame(key, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), at)
            if live and not num:
                raise OSError("it sends nothing")
        except (av.FFmpegError, OSError) as error:
            if not live or failures >= RETRIES:
                raise DataError(
                    f"{source} cannot be read: {error.strerror or error}",
                    hint="Give a folder of images, a film, or the address of a camera.",
                ) from error
            time.sleep(min(30.0, 2.0**failures))
            failures += 1
            continue
        if not live:
            return
        time.sleep(max(0.0, next_at - time.time()))  # a camera that sends one image


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How frames become values.

    Attributes:
        reader: Reads; its rules hold for every value.
        store: Keeps them.
        num_frames: Frames that are voted to one value.
        max_change: How far a value can be from the one before, once more for each in between that has no
            answer; None is any distance.
        may_fall: Whether a value can be below the one before; None takes no account of it.
        min_probability: Less probable values are not answered.
    """

    reader: Reader
    store: Store
    num_frames: int = 1
    max_change: Decimal | None = None
    may_fall: bool | None = None
    min_probability: float = 0.5

    def run(self, frames: Iterator[Frame], sinks: Mapping[str, Sink]) -> int:
        """Read frames until there are no more; publish every value once it is kept.

        A group of frames that was begun when the process ended is read again from its first frame. A record
        may be published twice where the process ends in between; its id tells. A sink that fails gets its
        records with the next value, and holds up no other.

        Args:
            frames: Those to read.
            sinks: Where values go, by the name under which the store remembers what each has.

        Returns:
            The number of values.
        """
        self._publish_all(sinks)
        num = 0
        group: list[Frame] = []
        for frame in frames:
            group.append(frame)
            if len(group) == self.num_frames:
                self._keep(group)
                self._publish_all(sinks)
                num, group = num + 1, []
        if group:
            self._keep(group)
            self._publish_all(sinks)
        return num + bool(group)

    def _keep(self, group: Sequence[Frame]) -> None:
        reading = self._read(group)
        value = str(reading) if reading.text and reading.decision != "abstained" else None
        record: dict[str, Any] = {
            "first": group[0].key,
            "last": group[-1].key,
            "frames": len(group),
            "at": group[-1].at,
            "value": value,
            "probability": round(reading.probability, 6),
            "decision": reading.decision,
            "reason": reading.reason,
            "explanation": reading.explanation,
        }
        self.store.add(record, value, [frame.key for frame in group])
        if value is None and reading.reason == "rules" and (before := self.store.previous()):
            previous, since = before
            if since % TURNED_DOWN == 0:
                stderr().print(
                    f"{since} values have no answer since {previous}: where that one is wrong, start again "
                    "with --previous and the right one",
                    markup=False,
                )

    def _read(self, group: Sequence[Frame]) -> Reading:
        images = [frame.image for frame in group if frame.image is not None]
        reader = self.reader.with_options(rules=self._rules(), abstain_below=0.0)
        reads = [each.reading for each in reader.read_each(images) if isinstance(each, Read)]
        if not reads:
            return NOTHING
        return abstain(vote(reads), self.min_probability)

    def _rules(self) -> Rules | None:
        """Return the reader's rules with the value before."""
        before = self.store.previous()
        rules = self.reader.rules or Rules()
        if before is not None and (self.max_change is not None or self.may_fall is not None):
            previous, since = before
            rules = replace(
                rules,
                previous=Decimal(previous),
                max_change=None if self.max_change is None else self.max_change * (1 + since),
                may_fall=bool(self.may_fall),
            )
        return rules if rules or rules.decimals else None

    def _publish_all(self, sinks: Mapping[str, Sink]) -> None:
        """Publish what is not out yet, in order; what fails is tried again with the next value."""
        for name, publish in sinks.items():
            for number, record in self.store.unpublished(name):
                try:
                    publish({"id": number, **record})
                except OSError as error:
                    stderr().print(f"value {number} is not in {name} yet: {error}", markup=False)
                    break
                self.store.published(number, name)
