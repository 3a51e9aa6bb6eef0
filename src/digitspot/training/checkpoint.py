"""Checkpoints: the state of a training (`last.pt`), and models to use (`best.pt`).

Both are written aside and renamed, so a kill at any moment leaves the one before; both hold
tensors and plain values only and load with `weights_only=True`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from digitspot.config import Config, config_from_dict, config_to_dict
from digitspot.dataset.seen import Seen
from digitspot.detector import Detector, build_detector
from digitspot.detector.model import pick_device
from digitspot.errors import CheckpointError, ConfigError
from digitspot.files import writing_whole
from digitspot.labels.labels import CategoryMap
from digitspot.manifest import Manifest
from digitspot.reading import ReadingSettings
from digitspot.runtime.torch_runtime import TorchRuntime

FORMAT = 1
LAST, BEST = "last.pt", "best.pt"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A detector with everything that reading numbers with it needs.

    Attributes:
        detector: The network.
        config: What it was trained with; its size rule is the model's.
        categories: The label file's ids, for `pred.json`.
        reading: The reader's settings, fitted on validation data.
        scores: What it reached there, by name.
        seen: The images that it was trained on.
    """

    detector: Detector
    config: Config
    categories: CategoryMap
    reading: ReadingSettings
    scores: Mapping[str, float]
    seen: Seen = field(default_factory=Seen)

    @property
    def manifest(self) -> Manifest:
        """What travels with the network where it is exported."""
        config = self.config.model
        return Manifest(
            preset=config.preset,
            rule=self.config.input,
            categories=self.categories,
            reading=self.reading,
            min_score=config.min_score,
            max_iou=config.max_iou,
            max_detections=config.max_detections,
            seen=self.seen.to_text(),
        )


def save_model(model: Model, path: Path) -> None:
    """Write a model to use."""
    _save(
        {
            "kind": "model",
            "config": config_to_dict(model.config),
            "categories": list(model.categories.ids),
            "reading": model.reading.to_dict(),
            "scores": dict(model.scores),
            "seen": model.seen.to_text(),
            "model": model.detector.state_dict(),
        },
        path,
    )


def load_model(path: Path) -> Model:
    """Read a model to use: a run folder (its best), or a checkpoint file.

    Raises:
        CheckpointError: There is none, or it cannot be read.
    """
    if path.is_dir():
        path = path / BEST
    state = load_state(path, kind="model")
    config = _config(state, path)
    detector = build_detector(config.model, load_weights=False)
    try:
        detector.load_state_dict(state["model"])
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its own configuration: {error}") from error
    return Model(
        detector=detector,
        config=config,
        categories=CategoryMap(tuple(state["categories"])),
        reading=_reading(state, path),
        scores=state["scores"],
        seen=Seen.from_text(state.get("seen", ""), path),
    )


def load_runtime(path: Path, device: str = "auto", precision: str = "fp32") -> tuple[TorchRuntime, Model]:
    """Load a model and make a runtime of it.

    Raises:
        CheckpointError: There is none, or it cannot be read.
    """
    model = load_model(path)
    return TorchRuntime(model.detector, model.config.input, pick_device(device), precision), model


def save_training(state: Mapping[str, Any], path: Path) -> None:
    """Write the state of a training."""
    _save({"kind": "training", **state}, path)


def load_state(path: Path, kind: str, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint of a kind, "model" or "training"; nothing is unpickled but tensors and plain values.

    Args:
        path: The file.
        kind: What it must hold.
        mmap: Leave tensors in the file until they are used.

    Raises:
        CheckpointError: It is missing, cut off, of another kind or of a newer format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no checkpoint {path}", hint="Give a run folder that holds best.pt, or a checkpoint file."
        ) from error
    except Exception as error:  # a damaged pickle fails as KeyError, struct.error and more
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {str(error)[:200]}") from error
    if not isinstance(state, dict) or state.get("kind") != kind:
        found = state.get("kind", "something else") if isinstance(state, dict) else "something else"
        raise CheckpointError(f"{path} holds {found}, expected a {kind}")
    if state["format"] > FORMAT:
        raise CheckpointError(f"{path} has format {state['format']}; this digitspot reads up to {FORMAT}")
    return state


def stored_config(path: Path) -> Config:
    """Return the configuration of a training checkpoint.

    Raises:
        CheckpointError: It cannot be read, or was written by another version with other settings.
    """
    return _config(load_state(path, kind="training", mmap=True), path)


def _config(state: Mapping[str, Any], path: Path) -> Config:
    try:
        return config_from_dict(state["config"], place=str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error}", hint=error.hint) from error


def _reading(state: Mapping[str, Any], path: Path) -> ReadingSettings:
    try:
        return ReadingSettings.from_dict(state["reading"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: {error}", hint="`digitspot calibrate` fits the reader again."
        ) from error


def _save(state: Mapping[str, Any], path: Path) -> None:
    with writing_whole(path, "wb") as file:
        try:
            torch.save({"format": FORMAT, **state}, file)
        except RuntimeError as error:  # torch covers what the disk said with an error of its own
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
