"""One training of an ablation: what it was begun with, what it took, whether it is done."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.markup import escape

from digitspot.ablate.scoring import RESULT
from digitspot.ablate.study import Variant
from digitspot.config import Config
from digitspot.errors import ConfigError
from digitspot.experiments.process import run_followed
from digitspot.experiments.trainings import begin_or_resume, check_recipe
from digitspot.files import digest, writing_whole
from digitspot.labels.coco import labels_path_of
from digitspot.progress import stderr
from digitspot.training.runlog import Run


@dataclass(frozen=True)
class Training:
    """One training, and what is answered with its model.

    Attributes:
        run: Its folder.
        name: The seed's name, or the model's.
        config: Whole; None where the model is there already.
        answers: The variants that it is of, and the folder of each one's answers.
    """

    run: Path
    name: str
    config: Config | None
    answers: Sequence[tuple[Variant, Path]]

    @property
    def record(self) -> Path:
        """The file beside the run that holds its `Record`."""
        return self.run.with_name(f"{self.run.name}.json")

    @property
    def lock(self) -> Path:
        """Held by the process that does it: several may share the output folder."""
        name = self.name if self.config is None else self.run.name
        return self.answers[0][1].with_name(f"{name}.lock")

    @property
    def peak_bytes(self) -> int | None:
        """Most memory that it took; None where nobody followed it."""
        record = None if self.config is None else Record.read(self.record)
        return record.peak_bytes or None if record else None

    def is_finished(self, data: Path) -> bool:
        """Return whether the training is done.

        Raises:
            ConfigError: It was begun with other settings or on other data.
        """
        if self.config is None:
            return True
        record = Record.read(self.record)
        if record is None:
            return False
        check_recipe(self.run, self.config, "ablation")
        for name, now in _inputs(self.config, data).items():
            if record.inputs.get(name) != now:
                raise ConfigError(
                    f"{self.run} was trained with another {name}",
                    hint=f"Choose another --output, or remove {self.run}* and its answers.",
                )
        return record.finished and Run(self.run).best.exists()

    def train(
        self, config: Config, data: Path, stop: threading.Event, device: str | None, log: Path | None
    ) -> None:
        """Begin the training or go on with it.

        Raises:
            StoppedError: It was interrupted.
            EndedError: It failed.
        """
        record = Record.read(self.record) or Record(inputs=_inputs(config, data))
        started, peak = Run(self.run).started, record.peak_bytes
        for _, folder in self.answers:
            (folder / RESULT).unlink(missing_ok=True)
        arguments = begin_or_resume(self.run, config, data)
        record.write(self.record)
        stderr().print(f"[bold]{escape(self.run.name)}:[/] {'going on' if started else 'training'}")
        finished = False

        def watch(num_bytes: int) -> None:
            nonlocal peak
            peak = max(peak, num_bytes)

        try:
            run_followed(arguments, stop, device=device, log=log, watch=watch)
            finished = True
        finally:
            replace(record, peak_bytes=peak, finished=finished).write(self.record)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What stands beside a run that was begun.

    Attributes:
        inputs: Digests by name of what it began with: labels, weights.
        peak_bytes: Most memory of any stretch of it; 0 where the system does not say.
        finished: Whether it came to its end.
    """

    inputs: Mapping[str, str]
    peak_bytes: int = 0
    finished: bool = False

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Return what stands there; None where nothing does."""
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: {error}", hint="Remove it and its run.") from error

    def write(self, path: Path) -> None:
        """Write it."""
        with writing_whole(path) as file:
            json.dump(asdict(self), file)


def _inputs(config: Config, data: Path) -> dict[str, str]:
    inputs = {split: digest(labels_path_of(data, split)) for split in ("train", "valid")}
    for other in config.data.also:
        inputs[f"data set {other}"] = digest(labels_path_of(Path(other), "train"))
    start = Path(config.model.weights)
    inputs["start"] = digest(start) if start.is_file() else config.model.weights
    return inputs
