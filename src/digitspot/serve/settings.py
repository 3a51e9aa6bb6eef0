"""What a service is told: the model, and limits on what it takes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Annotated

import tyro

from digitspot.errors import ConfigError

VARIABLE = "DIGITSPOT_SERVE"
"""Carries the settings to worker processes."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Limits and model of a service.

    Raises:
        ConfigError: A limit is not positive.
    """

    model: str | None = None
    """A name of `digitspot models`, a run folder, a checkpoint or an exported .onnx; none is the default."""
    max_bytes: int = 20_000_000
    """Largest body of a request, counted while it arrives."""
    max_pixels: int = 30_000_000
    """Largest image; its header tells before it is decoded."""
    max_images: int = 50
    """Most images in a request."""
    max_seconds: float = 30.0
    """Longest that a request may take, the arrival of its body included."""
    max_waiting: int = 64
    """Images that may wait in a process; further ones are turned away with 503."""
    max_looks: int = 40
    """Tiles of a large image that are looked at."""
    api_key: Annotated[str | None, tyro.conf.Suppress] = None
    """What the header X-API-Key must hold; none lets everyone in. The command line takes it from a file."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name.startswith("max_") and getattr(self, each.name) <= 0:
                raise ConfigError(f"{each.name} {getattr(self, each.name):g}: need more than 0")

    def to_environment(self) -> None:
        """Leave the settings to the processes that this one starts."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> ServeSettings:
        """Return what `to_environment` left; the defaults where it left nothing."""
        return cls(**json.loads(os.environ.get(VARIABLE, "{}")))
