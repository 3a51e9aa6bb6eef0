"""The run folder: configuration, environment, metrics, checkpoints."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from digitspot.config import Config, config_to_yaml
from digitspot.files import write_error, writing_whole
from digitspot.model_file import BEST, LAST

METRICS, ENVIRONMENT = "metrics.jsonl", "environment.json"
PACKAGES = ("digitspot", "torch", "torchvision", "numpy", "pillow")


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def last(self) -> Path:
        """The newest state of the training."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The best model so far."""
        return self.path / BEST

    @property
    def started(self) -> bool:
        """Whether the folder holds a training, of whatever length."""
        return any((self.path / name).exists() for name in (ENVIRONMENT, METRICS, LAST))

    def is_of(self, asked: Config, data: Path) -> bool:
        """Tell whether the training was started with these settings, on this data set."""
        try:
            stored = json.loads((self.path / ENVIRONMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return (stored.get("asked"), stored.get("data")) == (_key(asked), str(data))

    def start(self, config: Config, data: Path, asked: Config, images: str) -> None:
        """Make the folder and write what the training is.

        Args:
            config: As it is trained.
            data: The data set.
            asked: As it was asked for, before the machine had its say.
            images: What tells the images and labels that are trained on from others.

        Raises:
            DigitspotError: It cannot be written.
        """
        with writing_whole(self.path / "config.yaml") as file:
            file.write(config_to_yaml(config))
        with writing_whole(self.path / ENVIRONMENT) as file:
            json.dump({**_environment(config, data), "asked": _key(asked), "images": images}, file, indent=1)

    def began_with(self, images: str) -> bool:
        """Return whether a started training is one on these images and labels; True where nobody noted it."""
        try:
            stored = json.loads((self.path / ENVIRONMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return True
        return bool(stored.get("images", images) == images)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the metrics."""
        path = self.path / METRICS
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise write_error(path, error) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics; a line that a kill cut off is left out."""
        path = self.path / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def keep_metrics(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the lines that a resumed training will write again."""
        kept = [record for record in self.metrics() if wanted(record)]
        with writing_whole(self.path / METRICS) as file:
            file.writelines(json.dumps(record) + "\n" for record in kept)


def _key(config: Config) -> str:
    return blake2b(config_to_yaml(config).encode(), digest_size=8).hexdigest()


def _environment(config: Config, data: Path) -> dict[str, Any]:
    return {
        "data": str(data),
        "seed": config.train.seed,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
