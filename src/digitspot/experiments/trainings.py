"""One training of an experiment: its recipe and record stand beside its run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from digitspot.config import Config, config_to_yaml, load_recipe
from digitspot.errors import ConfigError
from digitspot.experiments.overrides import differences
from digitspot.experiments.runner import Worker
from digitspot.files import digest, writing_whole
from digitspot.labels.coco import labels_path_of
from digitspot.synth.cached import is_generated
from digitspot.training.runlog import Run


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of a training that was begun.

    Attributes:
        inputs: Digests by name of what it began with: labels, weights.
        peak_bytes: The most memory that it took; 0 if the system does not say.
        finished: Whether it came to its end.
    """

    inputs: Mapping[str, str]
    peak_bytes: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Training:
    """One training of an experiment.

    Attributes:
        run: Its folder.
        config: Whole, with its seed and length.
        data: The data set.
    """

    run: Path
    config: Config
    data: Path

    @property
    def recipe_path(self) -> Path:
        """The recipe beside the run."""
        return self.run.with_name(f"{self.run.name}.yaml")

    @property
    def log(self) -> Path:
        """The messages beside the run."""
        return self.run.with_name(f"{self.run.name}.log")

    @property
    def started(self) -> bool:
        """Whether the folder holds a training, of whatever length."""
        return Run(self.run).started

    @property
    def record(self) -> Record | None:
        """What is kept of it; None if it was not begun.

        Raises:
            ConfigError: The file is damaged.
        """
        path = self._record_path
        if not path.exists():
            return None
        try:
            return Record(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: {error}", hint="Remove it and its run.") from error

    def is_finished(self) -> bool:
        """Return whether the training is done.

        Raises:
            ConfigError: It was begun with other settings or on other data.
        """
        record = self.record
        if record is None:
            return False
        self._check_same(record)
        return record.finished and Run(self.run).best.exists()

    def train(self, worker: Worker) -> None:
        """Begin the training or go on with it, to its end.

        Raises:
            ConfigError: It was begun with other settings or on other data.
            StoppedError: It was interrupted.
            EndedError: It failed.
        """
        record = self.record
        if record is not None:
            self._check_same(record)
        record = record or Record(inputs=_inputs(self.config, self.data))
        peak, finished = record.peak_bytes, False
        self._begin(record)

        def watch(num_bytes: int) -> None:
            nonlocal peak
            peak = max(peak, num_bytes)

        try:
            worker.run(self._arguments(), watch)
            finished = True
        finally:
            self._write(replace(record, peak_bytes=peak, finished=finished))

    def write_recipe(self) -> None:
        """Write the recipe beside the run."""
        with writing_whole(self.recipe_path) as file:
            file.write(config_to_yaml(self.config))

    @property
    def _record_path(self) -> Path:
        return self.run.with_name(f"{self.run.name}.json")

    def _begin(self, record: Record) -> None:
        self.write_recipe()
        self._write(record)

    def _write(self, record: Record) -> None:
        with writing_whole(self._record_path) as file:
            json.dump(asdict(record), file)

    def _arguments(self) -> list[str]:
        if self.started:
            return ["train", "--resume", str(self.run), "--data", str(self.data)]
        return ["train", str(self.recipe_path), "--data", str(self.data), "--output", str(self.run)]

    def _check_same(self, record: Record) -> None:
        hint = f"Choose another --output, or remove {self.run}* and what was made with it."
        changed = differences(load_recipe(self.recipe_path), self.config) if self.recipe_path.exists() else {}
        for name, (before, now) in changed.items():
            raise ConfigError(
                f"{self.run} was trained with {name} {before!r}, and the file now says {now!r}", hint=hint
            )
        for name, value in _inputs(self.config, self.data).items():
            if record.inputs.get(name) != value:
                raise ConfigError(f"{self.run} was trained with another {name}", hint=hint)


def _inputs(config: Config, data: Path) -> dict[str, str]:
    inputs = {split: digest(labels_path_of(data, split)) for split in ("train", "valid")}
    for other in config.data.also:
        if is_generated(other):  # the name says what it is
            continue
        inputs[f"data set {other}"] = digest(labels_path_of(Path(other), "train"))
    start = Path(config.model.weights)
    inputs["start"] = digest(start) if start.is_file() else config.model.weights
    return inputs
