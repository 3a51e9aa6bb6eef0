"""The public reader: a model, and images to numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.cores import num_cores
from digitspot.dataset.seen import Seen
from digitspot.errors import ConfigError, DataError
from digitspot.images import ImageSource, decode_image
from digitspot.labels.labels import CategoryMap
from digitspot.models import find_model
from digitspot.preprocess import Prepared
from digitspot.reading import ReadingSettings, Rules, abstain, read_image, vote
from digitspot.reads import (
    Read,
    distinct_numbers,
    in_scene,
    meant_first,
    most_probable,
    moved,
    turn,
    turned_back,
)
from digitspot.regions import Region, inside, region_in_pixels, shifted, turn_box
from digitspot.runtime import Runtime
from digitspot.runtime.looks import with_looks
from digitspot.runtime.opening import Precision, RuntimeName, open_model, runtime_for
from digitspot.runtime.scan import MAX_LOOKS, beside, find_regions, is_scene
from digitspot.types import Box, Detections, ImageArray, Reading

REGION_ROOM = 0.2
"""Of a region's height: so much around it is looked at, too, since little is seen in what is cut tight."""
OPTIONS = ("rules", "abstain_below", "region", "max_looks", "turned")
"""The attributes of a reader that can be changed: `Reader.with_options`."""
INSTALLS = {"onnxruntime": "digitspot", "openvino": "digitspot[openvino]"}
"""What brings a module; all others come with training."""


class Reader:
    """Reads numbers in images.

    Args:
        runtime: Finds digits, at the model's own input size.
        settings: How digits become a number, and how often and at which sizes they are looked for.
        categories: The category ids of the labels that the model was trained on.
        seen: The images that it was trained on.

    Attributes:
        runtime: Finds digits as the settings say.
        single_look: Finds digits in one look at the model's own input size.
        num_threads: Threads that decode images.
        rules: What is known of the numbers; None is nothing.
        abstain_below: Readings of a smaller probability are not answered.
        region: The part of every image to read, x, y, width and height, in fractions of it or in pixels;
            None is all of it.
        max_looks: Tiles of a large image that are looked at, at most; 1 or more.
        turned: Whether numbers may be turned by 90, 180 or 270 degrees. Images are read four times; the most
            probable number counts.
    """

    def __init__(
        self, runtime: Runtime, settings: ReadingSettings, categories: CategoryMap, seen: Seen | None = None
    ) -> None:
        self.single_look = runtime
        self.runtime = with_looks(runtime, settings)
        self.settings = settings
        self.categories = categories
        self.seen = seen or Seen()
        self.rules: Rules | None = None
        self.abstain_below = 0.0
        self.region: Region | None = None
        self.max_looks = MAX_LOOKS
        self.turned = False
        self.num_threads = num_cores()
        self._load_again: partial[Reader] | None = None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str = "auto",
        runtime: RuntimeName = "auto",
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> Reader:
        """Load a model.

        Args:
            path: A name of `digitspot models`, a run folder (its best model), a checkpoint, or an exported
                `.onnx`. Named and exported models need no torch. None is the default model.
            device: "auto", "cpu", "cuda"; an exported model runs on the CPU.
            runtime: What computes; "auto" is ONNX Runtime for an exported model and torch for the others.
            precision: "fp32", or "bf16" in torch and OpenVINO: faster on processors that have it, and not
                quite the same answers.
            threads: Threads to decode and compute with; None takes what `cores.num_cores` says.

        Raises:
            CheckpointError: There is none, or it cannot be read.
            ConfigError: The runtime is not installed, or not one for this model.
        """
        path = find_model(path)
        if threads is not None and threads < 1:
            raise ConfigError(f"{threads} threads: need 1 or more")
        try:
            opened, info = open_model(path, device, runtime_for(path, runtime), precision, threads)
        except ModuleNotFoundError as error:
            needed = INSTALLS.get(error.name or "", "digitspot[train]")
            raise ConfigError(
                f"loading {path} needs {error.name}", hint=f"Install it: pip install '{needed}'."
            ) from error
        reader = cls(opened, info.reading, info.categories, info.seen)
        reader.num_threads = threads or num_cores()
        reader._load_again = partial(cls.load, path.absolute(), device, runtime, precision, threads)
        return reader

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what `load` was given; whoever unpickles it opens the model anew."""
        if self._load_again is None:
            raise TypeError("only a Reader that Reader.load returned can be pickled")
        options = {name: getattr(self, name) for name in OPTIONS}
        return _load_again, (self._load_again, options)

    def with_options(self, **changes: Any) -> Reader:
        """Return a reader of the same model that reads in another way; this one stays as it is.

        Args:
            changes: New values of the attributes in `OPTIONS`.

        Raises:
            TypeError: There is no such attribute.
        """
        if unknown := changes.keys() - set(OPTIONS):
            raise TypeError(f"a reader has no {', '.join(sorted(unknown))}; it has {', '.join(OPTIONS)}")
        other = object.__new__(Reader)
        vars(other).update({**vars(self), **changes})
        return other

    def read(self, source: ImageSource) -> Reading:
        """Read the number in one image: a path, bytes, a PIL image or a uint8 RGB array `[H, W, 3]`.

        Of several numbers in a large image it is the one that `reads.meant_first` says. In a small one it is
        that of the whole image.

        Raises:
            DataError: The image cannot be read.
        """
        prepared = self._prepare(source)
        if isinstance(prepared, DataError):
            raise prepared
        if isinstance(prepared, Read):
            return prepared.reading
        [detections] = self.runtime.detect_prepared([prepared])
        return self._read(detections).reading

    def read_all(self, source: ImageSource) -> list[Read]:
        """Read every number in one image; an empty list where there is none.

        The first is the one that `read` returns. The others follow, the most probable first.

        Raises:
            DataError: The image cannot be read.
        """
        whole = decode_image(source)
        image, (left, top), inner = self._cut(whole)
        by_turn = [
            [
                turned_back(read, quarters, image)
                for read in self._read_numbers(turn(image, quarters), turn_box(inner, image, quarters))
            ]
            for quarters in range(4 if self.turned else 1)
        ]
        reads = [read for of_turn in by_turn for read in of_turn]
        if self.turned and reads:
            reads = distinct_numbers(reads, most_probable([of_turn[0] for of_turn in by_turn if of_turn]))
        return [moved(read, left, top, whole) for read in reads]

    def read_burst(self, sources: Iterable[ImageSource]) -> Reading:
        """Read the one number that several images show, as frames of a video or a burst; see `vote`.

        Raises:
            DataError: An image cannot be read.
        """
        frames = [each.reading for each in self.with_options(abstain_below=0.0).read_whole(sources)]
        return abstain(vote(frames), self.abstain_below)

    def read_many(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Reading]:
        """Read the numbers in many images, in order.

        Threads decode ahead. In memory are up to `batch_size` images twice, resized for the network; a model
        that looks more than once has them there in full, too. Those of 480 pixels or more at each side are
        read one by one.
        """
        for each in self.read_whole(sources, batch_size):
            yield each.reading

    def read_whole(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Read]:
        """Like `read_many`, with every detection."""
        for each in self.read_each(sources, batch_size):
            if isinstance(each, DataError):
                raise each
            yield each

    def read_each(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Read | DataError]:
        """Like `read_whole`; an image that cannot be read gives its error, and the others are read."""
        prepared = self._prepare_ahead(sources, batch_size)
        while chunk := list(islice(prepared, batch_size)):
            found = iter(self.runtime.detect_prepared([each for each in chunk if isinstance(each, Prepared)]))
            for each in chunk:
                yield self._read(next(found)) if isinstance(each, Prepared) else each

    def _prepare_ahead(
        self, sources: Iterable[ImageSource], num_ahead: int
    ) -> Iterator[Prepared | Read | DataError]:
        """Decode and resize images in order; several threads work up to `num_ahead` ahead."""
        if self.num_threads == 1:
            yield from map(self._prepare, sources)
            return
        pending: deque[Future[Prepared | Read | DataError]] = deque()
        with ThreadPoolExecutor(self.num_threads) as pool:
            try:
                for source in sources:
                    pending.append(pool.submit(self._prepare, source))
                    if len(pending) > num_ahead:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _read(self, detections: Detections) -> Read:
        refined, reading = read_image(detections, self.settings, self.rules)
        return Read(refined, abstain(reading, self.abstain_below))

    def _prepare(self, source: ImageSource) -> Prepared | Read | DataError:
        """Prepare an image for a batch; read one that has to be cut or scanned, and forget its pixels."""
        try:
            whole = decode_image(source)
            image, (left, top), inner = self._cut(whole)
        except DataError as error:
            return error
        if self.region is None and not self.turned and not is_scene(image):
            return self.runtime.prepare(image)
        reads = [
            turned_back(
                self._read_number(turn(image, quarters), turn_box(inner, image, quarters)), quarters, image
            )
            for quarters in range(4 if self.turned else 1)
        ]
        return moved(most_probable(reads), left, top, whole)

    def _read_number(self, image: ImageArray, inner: Box) -> Read:
        """Read the number that is meant, of digits inside a part of an image."""
        if is_scene(image) and (reads := self._read_scene(image, inner)):
            return reads[0]
        [found] = self.runtime.detect([image])
        return self._read(inside(found, inner))

    def _read_numbers(self, image: ImageArray, inner: Box) -> list[Read]:
        """Read every number, of digits inside a part of an image."""
        if is_scene(image):
            return self._read_scene(image, inner)
        [found] = self.runtime.detect([image])
        found = inside(found, inner)
        first = self._read(found)
        rest = beside(found, np.array([digit.box for digit in first.reading.digits]))
        return distinct_numbers(self._read_regions(image, rest, inner), first)

    def _cut(self, image: ImageArray) -> tuple[ImageArray, tuple[int, int], Box]:
        """Return the region with a little around, where its left and top are, and the region in it."""
        height, width = image.shape[:2]
        if self.region is None:
            return image, (0, 0), (0, 0, width, height)
        left, top, right, bottom = region_in_pixels(self.region, (height, width))
        room = round(REGION_ROOM * (bottom - top))
        x, y = max(0, left - room), max(0, top - room)
        cut = np.ascontiguousarray(image[y : bottom + room, x : right + room])
        return cut, (x, y), (left - x, top - y, right - x, bottom - y)

    def _read_scene(self, image: ImageArray, inner: Box) -> list[Read]:
        """Read a large image as a whole, and each region that may show a number."""
        whole = (0, 0, image.shape[1], image.shape[0])
        regions = find_regions(self.single_look, image, self.max_looks)
        answering = self.with_options(abstain_below=0.0)
        reads = meant_first(answering._read_regions(image, [whole, *regions], inner))
        if self.region is None:  # else the number is known to be there
            reads = [in_scene(read, image.shape[:2]) for read in reads]
        reads = [replace(read, reading=abstain(read.reading, self.abstain_below)) for read in reads]
        return [*reads[:1], *distinct_numbers(reads[1:])]

    def _read_regions(self, image: ImageArray, regions: Sequence[Box], inner: Box) -> list[Read]:
        """Read regions of an image, each as an image of its own; boxes are in its pixels.

        Digits outside of `inner` do not count.
        """
        crops = [np.ascontiguousarray(image[top:bottom, left:right]) for left, top, right, bottom in regions]
        found = self.runtime.detect(crops)
        reads = [
            moved(self._read(inside(each, shifted(inner, -left, -top))), left, top, image)
            for each, (left, top, _, _) in zip(found, regions, strict=True)
        ]
        return distinct_numbers(reads)


def _load_again(load: partial[Reader], options: Mapping[str, Any]) -> Reader:
    """Open a pickled reader's model."""
    reader = load()
    vars(reader).update(options)
    return reader
