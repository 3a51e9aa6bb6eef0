"""A trained detector with everything that reading numbers with it needs, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digitspot.config import Config, config_from_dict, config_to_dict
from digitspot.dataset.seen import Seen
from digitspot.detector.model import Detector
from digitspot.detector.presets import build_detector
from digitspot.detector.weights import load_detector, read_state_dict
from digitspot.errors import CheckpointError, ConfigError
from digitspot.labels.labels import CategoryMap
from digitspot.model_file import BEST, ModelInfo, read_onnx, read_tensors, write_tensors
from digitspot.reading import ReadingSettings


@dataclass(frozen=True, kw_only=True)
class Model:
    """A detector and what goes with it.

    Attributes:
        detector: The network.
        config: What it was trained with.
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
    def info(self) -> ModelInfo:
        """What travels with the network."""
        config = self.config.model
        return ModelInfo(
            preset=config.preset,
            rule=self.config.input,
            categories=self.categories,
            reading=self.reading,
            min_score=config.min_score,
            max_iou=config.max_iou,
            max_detections=config.max_detections,
            seen=self.seen,
            config=config_to_dict(self.config),
        )


def save_model(model: Model, path: Path) -> None:
    """Write a model to use."""
    state = {
        "kind": "model",
        "info": model.info.to_json(),
        "scores": dict(model.scores),
        "model": model.detector.state_dict(),
    }
    write_tensors(state, path)


def load_model(path: Path) -> Model:
    """Read a model to use or to go on from: a run folder (its best), a checkpoint, or an exported file.

    Raises:
        CheckpointError: There is none, or it cannot be read.
    """
    if path.is_dir():
        path = path / BEST
    if path.suffix.lower() == ".onnx":
        _, info = read_onnx(path)
        state: Mapping[str, Any] = {"model": read_state_dict(path), "scores": {}}
    else:
        state = read_tensors(path, kind="model")
        info = ModelInfo.from_json(state["info"], path)
    try:
        config = config_from_dict(info.config)
        detector = build_detector(config.model, load_weights=False)
        load_detector(detector, state["model"], str(path))
    except (CheckpointError, ConfigError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} was written by another version of digitspot",
            hint="Train again with this version.",
        ) from error
    return Model(
        detector=detector,
        config=config,
        categories=info.categories,
        reading=info.reading,
        scores=state["scores"],
        seen=info.seen,
    )
