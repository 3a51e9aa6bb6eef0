"""The state of a training, `last.pt`. It is written aside and renamed: a kill leaves the one before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digitspot.config import Config, config_from_dict
from digitspot.errors import CheckpointError, ConfigError
from digitspot.model_file import read_tensors, write_tensors


def save_training(state: Mapping[str, Any], path: Path) -> None:
    """Write the state of a training."""
    write_tensors({"kind": "training", **state}, path)


def load_training(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Read the state of a training; see `read_tensors`."""
    return read_tensors(path, kind="training", mmap=mmap)


def stored_config(path: Path) -> Config:
    """Return the configuration of a training.

    Raises:
        CheckpointError: It cannot be read, or another version with other settings wrote it.
    """
    try:
        return config_from_dict(load_training(path, mmap=True)["config"])
    except ConfigError as error:
        raise CheckpointError(
            f"{path} was written by another version of digitspot: {error}",
            hint="Start the training again in a new folder.",
        ) from error
