"""The public reader: a model, and images to numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from digitspot.cores import num_cores
from digitspot.dataset.seen import Seen
from digitspot.errors import ConfigError, DataError
from digitspot.images import ImageSource, decode_image
from digitspot.labels.labels import CategoryMap
from digitspot.model_file import ModelInfo
from digitspot.preprocess import Prepared
from digitspot.reading import Constraint, ReadingSettings, abstain, read_image, vote
from digitspot.runtime import Runtime
from digitspot.runtime.exported import ExportedRuntime
from digitspot.runtime.looks import with_looks
from digitspot.types import Detections, Reading

RuntimeName = Literal["auto", "torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16"]
INSTALLS = {"onnxruntime": "digitspot", "openvino": "digitspot[openvino]"}
"""What brings a module; all others come with training."""


@dataclass(frozen=True)
class Read:
    """One image, read.

    Attributes:
        detections: Every digit found, down to the model's smallest score; boxes in the labels' style.
        reading: The number.
    """

    detections: Detections
    reading: Reading


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
        constraint: What is known of the numbers; None is nothing.
        abstain_below: Readings of a smaller probability are not answered.
    """

    def __init__(
        self, runtime: Runtime, settings: ReadingSettings, categories: CategoryMap, seen: Seen | None = None
    ) -> None:
        self.single_look = runtime
        self.runtime = with_looks(runtime, settings)
        self.settings = settings
        self.categories = categories
        self.seen = seen or Seen()
        self.constraint: Constraint | None = None
        self.abstain_below = 0.0
        self.num_threads = num_cores()
        self._load_again: partial[Reader] | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "auto",
        runtime: RuntimeName = "auto",
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> Reader:
        """Load a model.

        Args:
            path: A run folder (its best model), a checkpoint, or an exported `.onnx`, which needs no torch.
            device: "auto", "cpu", "cuda"; an exported model runs on the CPU.
            runtime: What computes; "auto" is ONNX Runtime for an exported model and torch for the others.
            precision: "fp32", or "bf16" in torch and OpenVINO: faster on processors that have it, and not
                quite the same answers.
            threads: Threads to decode and compute with; None takes what `cores.num_cores` says.

        Raises:
            CheckpointError: There is none, or it cannot be read.
            ConfigError: The runtime is not installed, or not one for this model.
        """
        path = Path(path)
        if threads is not None and threads < 1:
            raise ConfigError(f"{threads} threads: need 1 or more")
        try:
            opened, info = _open(path, device, _runtime_for(path, runtime), precision, threads)
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
        return _load_again, (self._load_again, self.constraint, self.abstain_below)

    def read(self, source: ImageSource) -> Reading:
        """Read the number in one image: a path, bytes, a PIL image or a uint8 RGB array `[H, W, 3]`.

        Raises:
            DataError: The image cannot be read.
        """
        [detections] = self.runtime.detect([decode_image(source)])
        return self._read(detections).reading

    def read_burst(self, sources: Iterable[ImageSource]) -> Reading:
        """Read the one number that several images show, as frames of a video or a burst; see `vote`.

        Raises:
            DataError: An image cannot be read.
        """
        frames = [each.reading for each in self.read_whole(sources)]
        return abstain(vote(frames), self.abstain_below)

    def read_many(self, sources: Iterable[ImageSource], batch_size: int = 32) -> Iterator[Reading]:
        """Read the numbers in many images, in order.

        Threads decode ahead. In memory are up to `batch_size` images twice, resized for the network, and
        as many in full as there are threads.
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
    ) -> Iterator[Prepared | DataError]:
        """Decode and resize images in threads, in order and up to `num_ahead` ahead."""
        pending: deque[Future[Prepared | DataError]] = deque()
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
        refined, reading = read_image(detections, self.settings, self.constraint)
        return Read(refined, abstain(reading, self.abstain_below))

    def _prepare(self, source: ImageSource) -> Prepared | DataError:
        try:
            return self.runtime.prepare(decode_image(source))
        except DataError as error:
            return error


def _load_again(load: partial[Reader], constraint: Constraint | None, abstain_below: float) -> Reader:
    """Open a pickled reader's model."""
    reader = load()
    reader.constraint, reader.abstain_below = constraint, abstain_below
    return reader


def _runtime_for(path: Path, name: RuntimeName) -> RuntimeName:
    """Return the runtime that computes a model; raise a `ConfigError` where the one named cannot."""
    exported = path.suffix.lower() == ".onnx"
    if name == "auto":
        return "onnx" if exported else "torch"
    if exported == (name == "torch"):
        raise ConfigError(
            f"{path} cannot run in {name}",
            hint="torch runs checkpoints; `digitspot export RUN` writes an .onnx file for the others.",
        )
    return name


def _open(
    path: Path, device: str, name: RuntimeName, precision: Precision, threads: int | None
) -> tuple[Runtime, ModelInfo]:
    """Load a model into a runtime, importing no other."""
    if name == "torch":
        from digitspot.runtime.torch_runtime import open_checkpoint

        runtime, info = open_checkpoint(path, device, precision, threads)
        return runtime, info
    if device not in ("auto", "cpu"):
        raise ConfigError(f"{path} cannot run on {device!r}", hint="Exported models run on the CPU.")
    exported = _open_exported(path, name, precision, threads)
    return exported, exported.info


def _open_exported(
    path: Path, name: RuntimeName, precision: Precision, threads: int | None
) -> ExportedRuntime:
    if name == "openvino":
        from digitspot.runtime.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(path, precision, num_threads=threads)
    if precision != "fp32":
        raise ConfigError(f"ONNX Runtime does not compute in {precision}", hint="--runtime openvino does.")
    from digitspot.runtime.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, num_threads=threads)
