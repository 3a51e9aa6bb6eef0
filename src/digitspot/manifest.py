"""What an exported model carries beside its network, as JSON in the file's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import digitspot
from digitspot.config import InputConfig, config_from_dict
from digitspot.errors import CheckpointError, ConfigError
from digitspot.labels.labels import CategoryMap
from digitspot.reading import ReadingSettings
from digitspot.types import NUM_DIGITS

FORMAT = 1
KEY = "digitspot"
"""The metadata's key."""
IMAGES, SIZES = "images", "sizes_hw"
OUTPUTS = ("boxes", "labels", "scores", "image_index")
"""Names of the graph's inputs and outputs; see `digitspot.detector.export.Core`."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything that reading numbers with an exported network needs.

    Attributes:
        preset: Which network it is.
        rule: The size rule.
        categories: The category ids of the labels that the model was trained on.
        reading: The reader's settings.
        min_score: Detections score at least this; the graph sees to it.
        max_iou: Overlap above which two boxes of one digit class are one; the graph sees to it.
        max_detections: Detections kept for each image; the runtime sees to it.
        seen: The images that it was trained on, as `digitspot.dataset.seen` writes them; "" where unknown.
        precision: "fp32", or "int8" where the backbone computes in 8 bits.
        version: The digitspot that exported it.
    """

    preset: str
    rule: InputConfig
    categories: CategoryMap
    reading: ReadingSettings
    min_score: float
    max_iou: float
    max_detections: int
    seen: str = ""
    precision: str = "fp32"
    version: str = digitspot.__version__

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps({"format": FORMAT, **asdict(self), "reading": self.reading.to_dict()})

    @classmethod
    def from_json(cls, text: str | None, path: Path) -> Manifest:
        """Read the metadata of a file.

        Args:
            text: What stands under `KEY`; None where nothing does.
            path: The file, for messages.

        Raises:
            CheckpointError: digitspot did not write it, or a newer one did.
        """
        if text is None:
            raise CheckpointError(
                f"{path} was not exported by digitspot", hint="`digitspot export RUN` writes such a file."
            )
        try:
            values: dict[str, Any] = json.loads(text)
            written = values.pop("format")
            if written <= FORMAT:
                return cls(**{**values, **_nested(values)})
        except (AttributeError, ConfigError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} has metadata that cannot be read: {error!r}") from error
        raise CheckpointError(f"{path} has format {written}; this digitspot reads up to {FORMAT}")


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    ids = tuple(int(category_id) for category_id in values["categories"]["ids"])
    if len(ids) != NUM_DIGITS:
        raise ValueError(f"{len(ids)} categories")
    return {
        "rule": config_from_dict({"input": values["rule"]}).input,
        "categories": CategoryMap(ids),
        "reading": ReadingSettings.from_dict(values["reading"]),
    }
