"""A folder of images to label: the least certain first; what a person confirms becomes a data set."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

import numpy as np

from digitspot.boxes import box_areas, clip_boxes
from digitspot.errors import DataError
from digitspot.files import check_writable, claiming, writing_whole
from digitspot.images import decode_image, list_images
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.reader import Reader
from digitspot.reads import Read

MIN_INSIDE = 0.5
"""Of a box; one of which less is inside the image is a mistake."""
SPLIT = "train"
"""The split that labels go to; `digitspot train --data` holds some out by itself."""


@dataclass(frozen=True)
class LabelledDigit:
    """A digit that a person confirmed.

    Attributes:
        text: "0" to "9".
        box: x1, y1, x2, y2 in pixels of the image.
    """

    text: str
    box: tuple[float, float, float, float]


class LabelFolder:
    """The images of a folder, what was read in them, and the labels that were confirmed.

    Args:
        folder: The images; subfolders count.
        output: The data set that labels go to; what it holds already is gone on with. An image of another
            folder that has the same name is another one.
        reader: Reads the images.
        progress: Told the images read and their total.

    Attributes:
        reads: The images and what was read in them, the least certain first.
        names: Theirs in the data set.
        unread: What is wrong with those that cannot be read.
        skipped: Files that are no images.

    Raises:
        DataError: There is no image, the data set cannot be read, or another process labels into it.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        reader: Reader,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.output = output
        listed = list_images(folder)
        paths, self.skipped = listed.paths, listed.skipped
        self.unread: list[DataError] = []
        check_writable(output)
        self._open = ExitStack()
        if not self._open.enter_context(claiming(output / ".lock")):
            raise DataError(f"another process labels into {output}", hint="End it, or give another --output.")
        reads: list[tuple[Path, Read]] = []
        for done, (path, read) in enumerate(zip(paths, reader.read_each(paths), strict=True), 1):
            if isinstance(read, Read):
                reads.append((path, read))
            else:
                self.unread.append(read)
            progress(done, len(paths))
        if not reads:
            raise DataError(f"{folder} holds no image that can be read")
        self.reads = sorted(reads, key=lambda each: each[1].reading.probability)
        self._lock = threading.Lock()
        self._labels = self._stored()
        self.names = [self._name(path, folder) for path, _ in self.reads]

    def __len__(self) -> int:
        return len(self.reads)

    @property
    def labels_path(self) -> Path:
        """The label file."""
        return self.output / f"{SPLIT}.json"

    def _stored(self) -> dict[str, LabelledImage]:
        if not self.labels_path.exists():
            return {}
        return {each.file_name: each for each in read_labels(self.labels_path).images}

    def _name(self, path: Path, folder: Path) -> str:
        """Return an image's name in the data set, which no other image has there."""
        name = path.relative_to(folder).as_posix()
        while name in self._labels and not _is_same(path, self.output / SPLIT / name):
            name = f"{folder.name}/{name}"
        return name

    def confirmed(self, index: int) -> list[LabelledDigit] | None:
        """Return the digits that were confirmed in an image; None where nobody looked yet."""
        image = self._labels.get(self.names[index])
        if image is None:
            return None
        rows = zip(image.labels.tolist(), image.boxes.tolist(), strict=True)
        return [LabelledDigit(str(label - 1), tuple(box)) for label, box in rows]

    def confirm(self, index: int, digits: Sequence[LabelledDigit]) -> None:
        """Keep what a person says of an image: the image and its labels are written before this returns.

        Raises:
            DataError: A digit or a box cannot be used.
        """
        path, _ = self.reads[index]
        height, width = decode_image(path).shape[:2]
        drawn = np.array([digit.box for digit in digits], np.float32).reshape(-1, 4)
        boxes = clip_boxes(drawn, (height, width))  # a model's boxes can reach over the border
        inside = box_areas(boxes) > MIN_INSIDE * box_areas(drawn)
        for digit, is_inside in zip(digits, inside, strict=True):
            if not is_inside or digit.text not in set("0123456789"):
                raise DataError(f"{digit} is no digit within {width} x {height} pixels")
        name = self.names[index]
        target = self.output / SPLIT / name
        with self._lock:
            with open(path, "rb") as original, writing_whole(target, "wb") as copy:
                shutil.copyfileobj(original, copy)
            known = self._labels.get(name)
            self._labels[name] = LabelledImage(
                image_id=known.image_id
                if known
                else 1 + max((each.image_id for each in self._labels.values()), default=0),
                file_name=name,
                size_hw=(height, width),
                boxes=boxes,
                labels=np.array([int(digit.text) + 1 for digit in digits], np.int64),
                areas=box_areas(boxes).astype(np.float64),
                crowd=np.zeros(len(digits), np.bool_),
            )
            images = sorted(self._labels.values(), key=lambda each: each.image_id)
            label_set = LabelSet.of(images, categories=CategoryMap.homework(), path=self.labels_path)
            write_labels(label_set, self.labels_path)


def _is_same(path: Path, stored: Path) -> bool:
    return not stored.exists() or cmp(path, stored, shallow=False)
