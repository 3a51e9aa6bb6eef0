"""What a model is, as a file: its weights, how to read with them, and a checksum of all of it.

A `.pt` holds tensors and plain values for torch. An `.onnx` holds the whole network; reading it needs neither
torch nor `onnx`. Its information is JSON in the metadata (`KEY`). Both kinds end in the same `STAMP_SIZE`
bytes: an entry of ONNX metadata whose value is the blake2b digest of every byte before it. The entry is the
last one, so no byte of the file escapes the checksum.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, cast

import digitspot
from digitspot.config import InputConfig, config_from_dict
from digitspot.dataset.seen import Seen
from digitspot.errors import CheckpointError, DigitspotError
from digitspot.files import writing_whole
from digitspot.labels.labels import CategoryMap
from digitspot.reading import ReadingSettings
from digitspot.types import NUM_DIGITS

FORMAT = 2
BEST = "best.pt"
"""The model to use in a run folder."""
LAST = "last.pt"
"""The state of its training."""
IMAGES, SIZES = "images", "sizes_hw"
OUTPUTS = ("boxes", "labels", "scores", "image_index")
"""Names of the graph's inputs and outputs; see `digitspot.detector.export.Core`."""

EXPORTED_AS, HALVED, BYTES, SCALE = "nano.", ".half", ".bytes", ".scale"
"""How the graph's names of weights begin, and end where they are stored in 16 or 8 bits."""

KEY, CHECKSUM_KEY = b"digitspot", b"digitspot.blake2b"
"""Keys in the ONNX file's metadata."""
DIGEST_BYTES = 16
_INFO_HEAD = b'{"format": '
"""How the information begins."""
_ZIP_END, _ZIP_END_SIZE = b"PK\5\6", 22
_WRITE_AGAIN = "Export it again, or train again with this version."


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Everything that reading numbers with a network needs.

    Attributes:
        preset: Which network it is.
        rule: How images are resized.
        categories: The category ids of the labels that the model was trained on.
        reading: How boxes become a number.
        min_score: The detections' smallest score.
        max_iou: Overlap above which two boxes of one digit class are one.
        max_detections: Detections kept for each image.
        seen: The images that it was trained on.
        config: What it was trained with, so that a training can go on from it; empty where nobody says.
        precision: "fp32"; "fp16", weights stored in 16 bits; "w8", large ones in 8; "int8", a backbone that
            computes in 8 bits.
        version: The digitspot that wrote it.
    """

    preset: str
    rule: InputConfig
    categories: CategoryMap
    reading: ReadingSettings
    min_score: float
    max_iou: float
    max_detections: int
    seen: Seen = field(default_factory=Seen)
    config: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    version: str = digitspot.__version__

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        values = {
            **{name: value for name, value in vars(self).items() if name not in ("rule", "categories")},
            "rule": asdict(self.rule),
            "categories": list(self.categories.ids),
            "reading": self.reading.to_dict(),
            "seen": self.seen.to_text(),
        }
        return json.dumps({"format": FORMAT, **values})

    @classmethod
    def from_json(cls, text: str, path: Path) -> ModelInfo:
        """Read the information of a model.

        Args:
            text: What `to_json` returned.
            path: The file, for messages.

        Raises:
            CheckpointError: Another version of digitspot wrote it.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            if values.pop("format") == FORMAT:
                return cls(**{**values, **_nested(values, path)})
        except (AttributeError, DigitspotError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} was written by another version of digitspot: {error}", hint=_WRITE_AGAIN
            ) from error
        raise CheckpointError(f"{path} was written by another version of digitspot", hint=_WRITE_AGAIN)


def _nested(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    ids = tuple(int(category_id) for category_id in values["categories"])
    if len(ids) != NUM_DIGITS:
        raise ValueError(f"{len(ids)} categories")
    return {
        "rule": config_from_dict({"input": values["rule"]}).input,
        "categories": CategoryMap(ids),
        "reading": ReadingSettings.from_dict(values["reading"]),
        "seen": Seen.from_text(values["seen"], path),
    }


def read_onnx(path: Path) -> tuple[bytes, ModelInfo]:
    """Read an exported model: the file's bytes, checked, and its information.

    Raises:
        CheckpointError: The file is missing, damaged, or not written by this version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no model {path}: {error.strerror}") from error
    _verify(io.BytesIO(data), path)
    _, text = _split(data, path)
    return data, ModelInfo.from_json(text, path)


def write_onnx(graph: bytes, info: ModelInfo, path: Path) -> None:
    """Write an exported model, whole or not at all.

    Args:
        graph: The network, a serialised ONNX model without metadata.
        info: What goes with it.
        path: The file.

    Raises:
        DigitspotError: The file cannot be written.
    """
    body = graph + _entry(KEY, info.to_json().encode("ascii"))
    with writing_whole(path, "wb") as file:
        file.write(body + _stamp(blake2b(body, digest_size=DIGEST_BYTES).hexdigest()))


def graph_of(data: bytes, path: Path) -> bytes:
    """Return the network of a file that `read_onnx` read, for `write_onnx`."""
    return _split(data, path)[0]


def _split(data: bytes, path: Path) -> tuple[bytes, str]:
    """Cut a file into the graph and the information."""
    body = data[:-STAMP_SIZE]
    text = body[body.rfind(_INFO_HEAD) :]
    entry = _entry(KEY, text)
    if not body.endswith(entry):
        raise CheckpointError(f"{path} was not exported by digitspot", hint=_WRITE_AGAIN)
    return body[: -len(entry)], text.decode("ascii")


def read_tensors(path: Path, kind: str, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint; nothing is unpickled but tensors and plain values.

    Args:
        path: The file.
        kind: What it must hold, "model" or "training".
        mmap: Leave tensors in the file until they are used.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind or not written by this version.
    """
    import torch

    try:
        with open(path, "rb") as file:
            _verify(file, path)
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        if path.name == BEST and path.with_name(LAST).exists():
            raise CheckpointError(
                f"{path.parent} has no model yet: its training was interrupted before a validation",
                hint=f"Go on with it: digitspot train --resume {path.parent}",
            ) from error
        raise CheckpointError(
            f"no checkpoint {path}", hint="Give a run folder that holds best.pt, or a checkpoint file."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except CheckpointError:
        raise
    except Exception as error:  # torch's own kinds; its advice to unpickle everything is not passed on
        raise CheckpointError(
            f"{path} holds other things than weights and plain values; nothing of it was loaded",
            hint="Use it only if digitspot wrote it and nobody changed it.",
        ) from error
    found = state.get("kind") if isinstance(state, dict) else None
    if found != kind:
        what = f"a {found}" if found else "something else"
        raise CheckpointError(f"{path} holds {what}, expected a {kind}")
    if state["format"] != FORMAT:
        raise CheckpointError(f"{path} was written by another version of digitspot", hint=_WRITE_AGAIN)
    return dict(state)


def write_tensors(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        state: Tensors and plain values, with the "kind" of the checkpoint.
        path: The file.

    Raises:
        DigitspotError: The file cannot be written.
    """
    import torch

    with writing_whole(path, "wb") as file:
        hashing = _Hashing(file)
        try:
            torch.save({"format": FORMAT, **state}, cast(IO[bytes], hashing))
        except RuntimeError as error:  # torch covers what the disk said with an error of its own
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        file.write(_stamp(hashing.digest.hexdigest()))


class _Hashing(io.RawIOBase):
    """Passes bytes on to a file, and digests them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = blake2b(digest_size=DIGEST_BYTES)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _verify(file: IO[bytes], path: Path) -> None:
    """Compare a file with the checksum that it ends in.

    Raises:
        CheckpointError: They differ, or there is none.
    """
    size = file.seek(0, io.SEEK_END) - STAMP_SIZE
    file.seek(max(size, 0))
    stamp = file.read()
    if _is_older(stamp):
        raise CheckpointError(f"{path} was written by another version of digitspot", hint=_WRITE_AGAIN)
    if size < 0 or not stamp.startswith(_STAMP_HEAD):
        raise CheckpointError(
            f"{path} does not end in a checksum: it is cut off, or digitspot did not write it",
            hint="Copy the file again from where it came.",
        )
    digest = blake2b(digest_size=DIGEST_BYTES)
    file.seek(0)
    while size > 0:
        chunk = file.read(min(size, 1 << 20))
        if not chunk:
            break
        digest.update(chunk)
        size -= len(chunk)
    if stamp != _stamp(digest.hexdigest()):
        raise CheckpointError(
            f"{path} is damaged: its content does not match its checksum",
            hint="Copy the file again from where it came.",
        )


def _is_older(end: bytes) -> bool:
    """Whether a file ends as those of versions that wrote no checksum: in a zip's directory, or in JSON."""
    return end[-_ZIP_END_SIZE:].startswith(_ZIP_END) or end.endswith((b'"}', b"]}"))


def _stamp(digest: str) -> bytes:
    return _entry(CHECKSUM_KEY, digest.encode("ascii"))


def _entry(key: bytes, value: bytes) -> bytes:
    """Return an entry of `ModelProto.metadata_props`, field 14, in protobuf's encoding."""
    pair = b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(len(value)) + value
    return b"\x72" + _varint(len(pair)) + pair


def _varint(value: int) -> bytes:
    """Return a length in protobuf's encoding: seven bits a byte, the lowest first."""
    low = value & 0x7F
    return bytes([low | 0x80]) + _varint(value >> 7) if value >> 7 else bytes([low])


STAMP_SIZE = len(_stamp("0" * 2 * DIGEST_BYTES))
_STAMP_HEAD = _stamp("0" * 2 * DIGEST_BYTES)[: -2 * DIGEST_BYTES]
