"""The public reader: a model, and pictures to numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from digitspot.data.images import ImageSource, decode_image
from digitspot.data.labels import CategoryMap
from digitspot.errors import ConfigError
from digitspot.reading import ReadingSettings, read_number
from digitspot.runtime import Runtime
from digitspot.structures import Detections, ImageArray, Reading


@dataclass(frozen=True)
class Read:
    """One picture, read.

    Attributes:
        image: uint8 RGB `[H, W, 3]`, as decoded.
        detections: Every digit found, down to the model's smallest score.
        reading: The number.
    """

    image: ImageArray
    detections: Detections
    reading: Reading


class Reader:
    """Reads numbers in pictures.

    Args:
        runtime: Finds digits.
        settings: How digits become a number.
        categories: The category ids of the labels that the model was trained on.
    """

    def __init__(self, runtime: Runtime, settings: ReadingSettings, categories: CategoryMap) -> None:
        self.runtime = runtime
        self.settings = settings
        self.categories = categories

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Reader:
        """Load a model.

        Args:
            path: A run folder (its best model) or a checkpoint.
            device: "auto", "cpu", "cuda".

        Raises:
            CheckpointError: There is none, or it cannot be read.
            ConfigError: torch is not installed.
        """
        try:
            from digitspot.training.checkpoint import load_runtime
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"loading {path} needs {error.name}", hint="Install it: pip install 'digitspot[train]'."
            ) from error
        runtime, model = load_runtime(Path(path), device)
        return cls(runtime, model.reading, model.categories)

    def read(self, source: ImageSource) -> Reading:
        """Read the number in one picture: a path, bytes, a PIL image or a uint8 RGB array `[H, W, 3]`.

        Raises:
            DataError: The picture cannot be read.
        """
        return next(self.read_many([source]))

    def read_many(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Reading]:
        """Read the numbers in many pictures, in order, `batch_size` of them in memory at a time."""
        for each in self.read_whole(sources, batch_size):
            yield each.reading

    def read_whole(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Read]:
        """Like `read_many`, with the decoded picture and every detection."""
        remaining = iter(sources)
        while chunk := list(islice(remaining, batch_size)):
            images = [decode_image(source) for source in chunk]
            for image, detections in zip(images, self.runtime.detect(images), strict=True):
                yield Read(image, detections, read_number(detections, self.settings))
