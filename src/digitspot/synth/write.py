"""A data set of generated images, written by several processes, interrupted and continued at will.

Image `i` of a split is a function of (seed, split, i) and of what it shows: a larger split begins with a
smaller one, and neither the number of processes nor an interruption changes a byte. What a detector scores on
generated images says nothing about its score on real images.
"""

from __future__ import annotations

import io
import json
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitspot.errors import ConfigError, DataError
from digitspot.files import write_error, writing_whole
from digitspot.labels.coco import write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.synth.generate import Subject, make_image, subject_of
from digitspot.synth.processes import making
from digitspot.synth.sinks import ImageSink, PackSink, Sink
from digitspot.synth.typefaces import Typeface, require_typefaces

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

ABOUT_FILE = "synth.json"
"""What was asked for, and what the images are set in."""
LOG_FILE = "log.jsonl"
CHUNK = 20
"""Images that a process makes in one go, and that an interruption may cost."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """An image made, as it travels between processes and stands in the log.

    Attributes:
        size_hw: (height, width).
        boxes: Left, top, right and bottom of each digit, to a thousandth of a pixel.
        labels: Digit + 1 of each.
        content: PNG, or raw pixels for a pack; empty once it is written.
        crc: CRC-32 of the raw pixels.
    """

    size_hw: tuple[int, int]
    boxes: list[list[float]]
    labels: list[int]
    content: bytes
    crc: int

    def record(self) -> dict[str, Any]:
        """Return what the log keeps."""
        return {"size_hw": self.size_hw, "boxes": self.boxes, "labels": self.labels, "crc": self.crc}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Row:
        """Read back what the log keeps."""
        height, width = record["size_hw"]
        return cls(
            size_hw=(height, width),
            boxes=record["boxes"],
            labels=record["labels"],
            content=b"",
            crc=record["crc"],
        )


@dataclass(frozen=True, kw_only=True)
class SynthRequest:
    """What is to be generated.

    Attributes:
        train: Number of images; a split of 0 is not written.
        valid: Likewise.
        test: Likewise; in typefaces that the other splits do not show.
        seed: 0 or more.
        domain: What the images show, a key of `DOMAINS` or `MIXED`.
        packed: Write packs, which trainings read, and no image files.
        loose: Draw boxes as people do, larger than the ink and of one height; else tight around the ink.
        more_typefaces: For `train` and `valid`, beside those that come with packages.

    Raises:
        ConfigError: There is no such domain, or a size or the seed is negative.
    """

    train: int = 600
    valid: int = 100
    test: int = 150
    seed: int = 0
    domain: str = "houses"
    packed: bool = False
    loose: bool = False
    more_typefaces: tuple[Typeface, ...] = ()

    def __post_init__(self) -> None:
        sizes = {"train": self.train, "valid": self.valid, "test": self.test}
        if min(*sizes.values(), self.seed) < 0:
            raise ConfigError(f"sizes {sizes} and seed {self.seed}: none of them can be negative")
        self.subject("train")

    @property
    def sizes(self) -> dict[str, int]:
        """The number of images of each split that is written."""
        asked = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: size for name, size in asked.items() if size}

    def subject(self, split: str) -> Subject:
        """Return what a split shows."""
        subject = subject_of(split, self.domain, self.loose)
        more = () if split == "test" else self.more_typefaces
        return replace(subject, typefaces=subject.typefaces + more)

    def about(self) -> dict[str, Any]:
        """Say what was asked for, with each typeface's licence; two requests of equal words are equal."""
        faces = {split: self.subject(split).typefaces for split in self.sizes}
        return {
            "images": self.sizes,
            "seed": self.seed,
            "domain": self.domain,
            "packed": self.packed,
            "boxes": "loose" if self.loose else "ink",
            "typefaces": {
                split: sorted({f"{face.family}: {face.licence}" for face in typefaces})
                for split, typefaces in faces.items()
            },
        }


def synthesize(
    output: Path, request: SynthRequest, *, workers: int = 0, progress: Progress | None = None
) -> dict[str, LabelSet]:
    """Write a data set in the homework's layout: `train.json`, `train/1.png`, `valid.json`, ...

    The folder appears only when all of it is written. An interruption leaves its work beside it, and the
    same call resumes there. The same seed gives the same bytes with the same versions of numpy, Pillow
    and the typefaces.

    Args:
        output: A folder that does not exist, or an empty one.
        request: What to generate.
        workers: Processes; 0 is this one alone.
        progress: Told after every few images.

    Returns:
        The labels of each split written.

    Raises:
        DataError: `output` holds something already, or another call's unfinished work stands beside it.
        DigitspotError: A typeface is not installed, or the folder cannot be written.
    """
    for name in request.sizes:
        require_typefaces(request.subject(name).typefaces)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise DataError(
            f"{output} exists already and is not empty", hint="Choose another, or remove it first."
        )
    try:
        work = _Work.open(request, output)
        work.run(workers, progress)
        return work.finish()
    except OSError as error:
        raise write_error(output, error) from error


@dataclass
class _Work:
    """A data set being written, beside the folder that it will be."""

    request: SynthRequest
    output: Path
    folder: Path
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def open(cls, request: SynthRequest, output: Path) -> _Work:
        """Begin, or go on with what the same request left unfinished."""
        folder = output.with_name(f".{output.name}.unfinished")
        work = cls(request, output, folder, {name: [] for name in request.sizes})
        about = folder / ABOUT_FILE
        if about.is_file():
            if json.loads(about.read_text(encoding="utf-8")) != request.about():
                raise DataError(
                    f"{folder} holds unfinished work of another request for {output.name}",
                    hint="Give the same options as before to go on with it, or remove that folder.",
                )
            work._read_log()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            with writing_whole(about) as file:
                json.dump(request.about(), file, indent=1)
        return work

    def _read_log(self) -> None:
        """Take up the chunks that are whole; a line cut off by a crash and what follows is made again."""
        path = self.folder / LOG_FILE
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        kept = 0
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self.rows[record["split"]] += map(Row.from_record, record["rows"])
            kept += len(line)
        if lines:
            with open(path, "r+b") as log:
                log.truncate(kept)

    def run(self, workers: int, progress: Progress | None) -> None:
        """Make what is missing."""
        total = sum(self.request.sizes.values())
        done = sum(map(len, self.rows.values()))
        if progress is not None and done:
            progress(done, total)
        chunks = [
            (name, start, min(size, start + CHUNK))
            for name, size in self.request.sizes.items()
            for start in range(len(self.rows[name]), size, CHUNK)
        ]
        with ExitStack() as stack:
            sinks = {name: stack.enter_context(self._sink(name)) for name in self.request.sizes}
            log = stack.enter_context(open(self.folder / LOG_FILE, "a", encoding="utf-8"))
            submit = stack.enter_context(making(workers if len(chunks) > 1 else 0))
            tasks = ((chunk, submit(make_rows, self.request, *chunk)) for chunk in chunks)
            for (name, _, _), rows in in_order(tasks, ahead=3 * max(1, workers)):
                for row in rows:
                    sinks[name].add(len(self.rows[name]), row.content, row.size_hw)
                    self.rows[name].append(Row.from_record(row.record()))
                sinks[name].flush()
                log.write(json.dumps({"split": name, "rows": [row.record() for row in rows]}) + "\n")
                log.flush()
                done += len(rows)
                if progress is not None:
                    progress(done, total)

    def _sink(self, name: str) -> Sink:
        sizes = np.array([row.size_hw for row in self.rows[name]], np.int64).reshape(-1, 2)
        kind = PackSink if self.request.packed else ImageSink
        return kind(self.folder / (f"{name}.pack" if self.request.packed else name), sizes)

    def finish(self) -> dict[str, LabelSet]:
        """Write the labels, and rename the folder."""
        written = {}
        for name, rows in self.rows.items():
            images = tuple(_labelled(number, row) for number, row in enumerate(rows, 1))
            categories = CategoryMap.homework()
            written[name] = LabelSet.of(
                images=images, categories=categories, path=self.output / f"{name}.json"
            )
            write_labels(written[name], self.folder / f"{name}.json")
            crcs = np.array([row.crc for row in rows], np.uint32)
            self._sink(name).finish(written[name], crcs, self.request.seed)
        (self.folder / LOG_FILE).unlink()
        if self.output.exists():
            self.output.rmdir()
        shutil.move(self.folder, self.output)
        return written


def make_rows(request: SynthRequest, split: str, start: int, end: int) -> list[Row]:
    """Make some images of a split, encoded."""
    return [_make_row(request, split, index) for index in range(start, end)]


def _make_row(request: SynthRequest, split: str, index: int) -> Row:
    made = make_image(request.seed, split, index, request.subject(split))
    image = np.ascontiguousarray(made.image)
    if request.packed:
        content = image.tobytes()
    else:
        held = io.BytesIO()
        Image.fromarray(image).save(held, "PNG", compress_level=4)
        content = held.getvalue()
    return Row(
        size_hw=(image.shape[0], image.shape[1]),
        boxes=np.round(made.boxes.astype(np.float64), 3).tolist(),
        labels=made.labels.tolist(),
        content=content,
        crc=zlib.crc32(image.data),
    )


Chunk = tuple[str, int, int]


def in_order(
    tasks: Iterable[tuple[Chunk, Future[list[Row]]]], ahead: int
) -> Iterator[tuple[Chunk, list[Row]]]:
    """Yield what tasks return, in their order, with at most `ahead` of them begun: memory holds no more."""
    begun: deque[tuple[Chunk, Future[list[Row]]]] = deque()
    for task in tasks:
        begun.append(task)
        if len(begun) >= ahead:
            chunk, future = begun.popleft()
            yield chunk, future.result()
    for chunk, future in begun:
        yield chunk, future.result()


def _labelled(number: int, row: Row) -> LabelledImage:
    """Return an image's labels; ids count from 1, as the homework's do."""
    boxes: npt.NDArray[np.float32] = np.array(row.boxes, np.float32).reshape(-1, 4)
    return LabelledImage(
        image_id=number,
        file_name=f"{number}.png",
        size_hw=row.size_hw,
        boxes=boxes,
        labels=np.array(row.labels, np.int64),
        areas=(boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(axis=1),
        crowd=np.zeros(len(boxes), np.bool_),
    )
