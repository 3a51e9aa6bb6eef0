"""Ablations: every variant and seed is trained, answers a split and is scored; what is done stays done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.markup import escape

from digitspot.detector.presets import build_detector
from digitspot.detector.trained import load_model
from digitspot.errors import ConfigError
from digitspot.experiments.ablation import Study, Variant
from digitspot.experiments.lengths import Length
from digitspot.experiments.runner import Worker, do_all
from digitspot.experiments.scoring import Answering, Result
from digitspot.experiments.trainings import Training
from digitspot.files import claiming
from digitspot.progress import stderr

Results = dict[tuple[str, str], Result]
"""By the variant's name and the seed's, or by the model's where none is trained."""


@dataclass(frozen=True)
class Model:
    """One model of an ablation and what it answers; a task of the runner.

    Attributes:
        name: Of the run, or of the model that is there already.
        seed: The column of its results: the seed, or the name of the model.
        training: What makes it; None if it is there already.
        answers: Of each variant that uses it.
    """

    name: str
    seed: str
    training: Training | None
    answers: Sequence[Answering]

    @property
    def lock(self) -> Path:
        """Held by the process that trains or answers with it."""
        return self.answers[0].folder.with_name(f"{self.name}.lock")

    @property
    def log(self) -> Path:
        """Messages of its training and answers."""
        return self.lock.with_suffix(".log") if self.training is None else self.training.log

    def results(self) -> Results:
        """Return the results that are there; none while the training is not done.

        Raises:
            ConfigError: They were made with other settings or data.
        """
        if self.training is not None and not self.training.is_finished():
            return {}
        found = {(each.variant.name, self.seed): each.result() for each in self.answers}
        return {key: result for key, result in found.items() if result is not None}

    def do(self, worker: Worker) -> None:
        """Train and answer, as far as that is not done."""
        training, peak_bytes = self.training, None
        if training is not None:
            if not training.is_finished():
                self._train(training, worker)
            record = training.record
            peak_bytes = record.peak_bytes or None if record else None
        for each in self.answers:
            if each.result() is None:
                who = escape(f"{each.variant.name}, {self.seed}")
                stderr().print(f"[bold]{who}:[/] answering {each.split}")
                worker.run(each.command(worker.device))
                each.score(peak_bytes)

    def _train(self, training: Training, worker: Worker) -> None:
        for each in self.answers:
            each.forget()
        what = "going on" if training.started else "training"
        stderr().print(f"[bold]{escape(self.name)}:[/] {what}")
        training.train(worker)


def plan_models(study: Study, lengths: dict[str, Length], data: Path, output: Path) -> list[Model]:
    """List what is trained, all variants of a seed one after the other; a shared training stands once.

    Args:
        study: What to compare.
        lengths: By variant.
        data: The data set.
        output: The folder of everything.
    """
    models = []
    for seed in study.seeds:
        for name in dict.fromkeys(variant.trained_as for variant in study.variants):
            sharing = [variant for variant in study.variants if variant.trained_as == name]
            config = sharing[0].config
            train = replace(config.train, seed=seed, epochs=lengths[sharing[0].name].epochs)
            run = output / "trainings" / f"{name}-{seed}"
            training = Training(run, replace(config, train=train), data)
            answers = _answers(sharing, run, str(seed), study.split, data, output)
            models.append(Model(run.name, str(seed), training, answers))
    return models


def use_models(study: Study, paths: Sequence[Path], data: Path, output: Path) -> list[Model]:
    """List models that are there already: the variants only use them differently."""
    names = [path.name if path.is_dir() else path.stem for path in paths]
    names = [f"{i}-{name}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [
        Model(name, name, None, _answers(study.variants, path, name, study.split, data, output))
        for path, name in zip(paths, names, strict=True)
    ]


def _answers(
    variants: Sequence[Variant], model: Path, seed: str, split: str, data: Path, output: Path
) -> list[Answering]:
    return [
        Answering(
            model=model,
            variant=variant,
            folder=output / "answers" / f"{variant.name}-{seed}",
            data=data,
            split=split,
        )
        for variant in variants
    ]


def run_ablation(models: Sequence[Model], devices: Sequence[str | None]) -> tuple[Results, list[str]]:
    """Train and answer what is not done yet.

    Args:
        models: In the order to begin them.
        devices: One training at a time on each; None is the recipe's own.

    Returns:
        The results, and what failed, in words; one that fails does not end the others.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after the trainings were saved.
        ConfigError: The folder holds results with other settings.
    """
    todo = [each for each in models if len(each.results()) < len(each.answers)]
    stderr().print(f"{len(models)} models, {len(models) - len(todo)} of them done before")
    ended = do_all(todo, devices)
    if ended.elsewhere:
        names = ", ".join(ended.elsewhere)
        stderr().print(f"left to another process: {names}; the same command adds its results", markup=False)
    results: Results = {}
    for each in models:
        results |= each.results()
    return results, ended.failures


def check_models(models: Sequence[Path], study: Study) -> None:
    """Refuse models if variants must be trained.

    Raises:
        ConfigError: They must.
        CheckpointError: One cannot be read.
    """
    if models and not study.answers_only:
        raise ConfigError(
            f"{study.name} compares trainings: it takes no --models",
            hint="Only variants that begin with `answer.` use a model that is there already.",
        )
    for model in models:
        load_model(model)


def make_what_is_needed(study: Study, output: Path) -> None:
    """Make the files that are missing, each with its command.

    Raises:
        DigitspotError: One failed, did not make its file, or another process is at them.
    """
    with claiming(output / "needs.lock") as mine:
        for name, command in study.needs.items():
            if not Path(name).exists() and not mine:
                raise ConfigError(f"another process is making {name}", hint="Wait for it.")
            if not Path(name).exists():
                stderr().print(f"{name} is missing: digitspot {shlex.join(command)}", markup=False)
                Worker().run(command)
            if not Path(name).exists():
                raise ConfigError(f"`digitspot {shlex.join(command)}` did not make {name}")


def check_starts(study: Study) -> None:
    """Check before hours of training that the weights exist that variants start from.

    Raises:
        ConfigError: Its preset has no such weights.
        CheckpointError: They cannot be read, or are another network's.
    """
    starts = {repr(variant.config.model): variant.config.model for variant in study.variants}
    for start in starts.values():
        build_detector(start)


def devices_to_use(names: Sequence[str], study: Study) -> list[str | None]:
    """Return the devices to train on: those named, or all that CUDA sees.

    Args:
        names: Numbers as this process counts them, within `CUDA_VISIBLE_DEVICES` if that is set.
        study: Its recipes must leave the device open if there are several.

    Raises:
        ConfigError: There is no such device, or a variant names its own.
    """
    import torch

    count = torch.cuda.device_count()
    for name in names:
        if not name.isdecimal() or int(name) >= count:
            raise ConfigError(f"--devices {name}: CUDA sees {count} devices", hint="They are 0, 1 and so on.")
    chosen = list(dict.fromkeys(names)) or [str(i) for i in range(count if count > 1 else 0)]
    for variant in study.variants if chosen else ():
        if variant.config.train.device not in ("auto", "cuda"):
            raise ConfigError(
                f"variant {variant.name!r} trains on {variant.config.train.device}, the ablation on device "
                f"{', '.join(chosen)}",
                hint="Leave train.device at auto.",
            )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [visible[int(name)] if visible != [""] else name for name in chosen] or [None]
