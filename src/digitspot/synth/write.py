"""A data set of generated images, written by several processes, interrupted and continued at will.

Image `i` of a split is a function of (seed, split, i) and of what it shows: a larger split begins with a
smaller one, and neither the number of processes nor an interruption changes a byte. What a detector scores on
generated images says nothing about its score on real images.

Every digit of `train` is to be learnt. In `valid` and `test`, digits beside the number to read are crowds.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import signal
import zlib
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitspot.dataset.pack import SHARD_BYTES, lay_out, pack_index, shard_name, write_index
from digitspot.dataset.samples import image_bytes
from digitspot.errors import DataError
from digitspot.files import write_error, writing_whole
from digitspot.labels.coco import write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.processes import die_with_parent
from digitspot.synth.generate import SynthRequest, make_image
from digitspot.synth.typefaces import require_typefaces

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

ABOUT_FILE = "synth.json"
"""What was asked for, and what the images are set in."""
LOG_FILE = "log.jsonl"
CHUNK = 20
"""Images that a process makes in one go, and that an interruption may cost."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """The labels of an image made, as they stand in the log.

    Attributes:
        size_hw: (height, width).
        boxes: Left, top, right and bottom of each digit, to a thousandth of a pixel.
        labels: Digit + 1 of each.
        crowd: Whether each is of a number beside the one to read, which is not asked for.
        crc: CRC-32 of the raw pixels.
    """

    size_hw: tuple[int, int]
    boxes: list[list[float]]
    labels: list[int]
    crowd: list[bool]
    crc: int


Made = list[tuple[Row, bytes]]
"""Images of a chunk, each a PNG, or raw pixels for a pack."""


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
    rows: dict[str, list[Row]]

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
            self.rows[record["split"]] += [
                Row(**{**row, "size_hw": tuple(row["size_hw"])}) for row in record["rows"]
            ]
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
        writers = {name: self._writer(name) for name in self.request.sizes}
        with (
            open(self.folder / LOG_FILE, "a", encoding="utf-8") as log,
            closing(_make_all(self.request, chunks, workers)) as results,
        ):
            for (name, _, _), made in zip(chunks, results, strict=True):
                for row, content in made:
                    writers[name](len(self.rows[name]), content)
                    self.rows[name].append(row)
                log.write(json.dumps({"split": name, "rows": [asdict(row) for row, _ in made]}) + "\n")
                log.flush()
                done += len(made)
                if progress is not None:
                    progress(done, total)

    def _writer(self, name: str) -> Callable[[int, bytes], object]:
        """Return what writes image `index` of a split, from 0, as it is encoded."""
        folder = self.folder / (f"{name}.pack" if self.request.packed else name)
        folder.mkdir(exist_ok=True)
        if self.request.packed:
            return _PackWriter(folder, self.rows[name]).write
        return lambda index, content: (folder / f"{index + 1}.png").write_bytes(content)

    def finish(self) -> dict[str, LabelSet]:
        """Write the labels, and rename the folder."""
        written = {}
        for name, rows in self.rows.items():
            images = tuple(_labelled(number, row) for number, row in enumerate(rows, 1))
            path = self.output / f"{name}.json"
            labels = LabelSet.of(images=images, categories=CategoryMap.homework(), path=path)
            write_labels(labels, self.folder / path.name)
            if self.request.packed:
                crcs = np.array([row.crc for row in rows], np.uint32)
                index = pack_index(labels, np.arange(len(labels)), labels.sizes_hw, crcs)
                folder, seed = self.folder / f"{name}.pack", self.request.seed
                write_index(folder, index, labels.categories, longest_side=None, seed=seed, source=path.name)
            written[name] = labels
        (self.folder / LOG_FILE).unlink()
        if self.output.exists():
            self.output.rmdir()
        shutil.move(self.folder, self.output)
        return written


class _PackWriter:
    """A pack in the order of the images, cut off behind those that `rows` name."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        sizes = image_bytes(np.array([row.size_hw for row in rows], np.int64).reshape(-1, 2))
        shard_of, offsets = lay_out(sizes)
        self.folder = folder
        self._shard = int(shard_of[-1]) if rows else 0
        self._end = int(offsets[-1] + sizes[-1]) if rows else 0
        for path in folder.glob("shard-*.rgb"):
            if path.name > shard_name(self._shard) or not rows:
                path.unlink()
        if rows:
            os.truncate(folder / shard_name(self._shard), self._end)

    def write(self, index: int, content: bytes) -> None:
        """Add an image's raw pixels; the shards are those of `lay_out`."""
        if self._end and self._end + len(content) > SHARD_BYTES:
            self._shard, self._end = self._shard + 1, 0
        with open(self.folder / shard_name(self._shard), "ab") as file:
            file.write(content)
        self._end += len(content)


def _make_all(
    request: SynthRequest, chunks: list[tuple[str, int, int]], workers: int
) -> Generator[Made, None, None]:
    """Make chunks (split, start, end) in their order, here or in `workers` processes.

    Processes are started afresh and not forked, since whoever calls may have threads. At most three chunks
    a process are begun, so that memory holds no more.
    """
    if min(workers, len(chunks)) < 2:
        yield from (_make_chunk(request, *chunk) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle)
    try:
        begun: deque[Future[Made]] = deque()
        for chunk in chunks:
            begun.append(pool.submit(_make_chunk, request, *chunk))
            if len(begun) >= 3 * workers:
                yield begun.popleft().result()
        yield from (future.result() for future in begun)
    finally:
        pool.shutdown(cancel_futures=True)


def _settle() -> None:
    """Leave Ctrl-C to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


def _make_chunk(request: SynthRequest, split: str, start: int, end: int) -> Made:
    return [_make_row(request, split, index) for index in range(start, end)]


def _make_row(request: SynthRequest, split: str, index: int) -> tuple[Row, bytes]:
    made = make_image(request.seed, split, index, request.subject(split))
    image = np.ascontiguousarray(made.image)
    if request.packed:
        content = image.tobytes()
    else:
        held = io.BytesIO()
        Image.fromarray(image).save(held, "PNG", compress_level=4)
        content = held.getvalue()
    row = Row(
        size_hw=(image.shape[0], image.shape[1]),
        boxes=np.round(made.boxes.astype(np.float64), 3).tolist(),
        labels=made.labels.tolist(),
        crowd=[split != "train" and number > 0 for number in made.numbers.tolist()],
        crc=zlib.crc32(image.data),
    )
    return row, content


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
        crowd=np.array(row.crowd, np.bool_),
    )
