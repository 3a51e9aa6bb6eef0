"""Train what is not trained yet, answer what is not answered yet; side by side on several GPUs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from digitspot.ablate.scoring import Result, answer_and_score, stored_result
from digitspot.ablate.study import Study, Variant
from digitspot.config import Config
from digitspot.errors import ConfigError, DigitspotError
from digitspot.experiments.lengths import Length
from digitspot.experiments.process import StoppedError, run_followed
from digitspot.experiments.trainings import begin_or_resume, check_recipe
from digitspot.files import writing_whole
from digitspot.progress import Update, stderr, tracking
from digitspot.training.checkpoint import load_model
from digitspot.training.runlog import Run

Results = dict[tuple[str, str], Result]
"""By the variant's name and the seed's, or the model's where none is trained."""


@dataclass(frozen=True)
class Training:
    """One training, and what is answered with its model.

    Attributes:
        run: Its folder.
        name: The seed's name.
        config: Whole; None where the model is there already.
        answers: The variants that it is of, and the folder of each one's answers.
    """

    run: Path
    name: str
    config: Config | None
    answers: Sequence[tuple[Variant, Path]]

    @property
    def finished(self) -> Path:
        """The file that says what the training took, once it is done."""
        return self.run.with_name(f"{self.run.name}.json")


def plan_trainings(
    study: Study, lengths: dict[str, Length], output: Path, models: Sequence[Path]
) -> list[Training]:
    """List the trainings, all variants of a seed one after the other; a shared one stands once.

    Args:
        study: What to compare.
        lengths: By variant; unused where there are models.
        output: The folder of everything.
        models: Trained already: variants only use them differently.
    """
    if models:
        names = [model.name if model.is_dir() else model.stem for model in models]
        names = [f"{i}-{name}" if names.count(name) > 1 else name for i, name in enumerate(names)]
        return [
            Training(model, name, None, _answers(study.variants, name, output))
            for model, name in zip(models, names, strict=True)
        ]
    trainings = []
    for seed in study.seeds:
        for variant in study.variants:
            sharing = [each for each in study.variants if study.trained_as(each) == variant.name]
            if sharing:
                train = replace(variant.config.train, seed=seed, epochs=lengths[variant.name].epochs)
                run = output / "trainings" / f"{variant.name}-{seed}"
                answers = _answers(sharing, str(seed), output)
                trainings.append(Training(run, str(seed), replace(variant.config, train=train), answers))
    return trainings


def _answers(variants: Sequence[Variant], name: str, output: Path) -> list[tuple[Variant, Path]]:
    return [(variant, output / "answers" / f"{variant.name}-{name}") for variant in variants]


def run_trainings(
    trainings: Sequence[Training], data: Path, split: str, devices: Sequence[str | None]
) -> tuple[Results, list[str]]:
    """Do what is not done yet.

    Args:
        trainings: In the order to begin them.
        data: The data set.
        split: What the models answer.
        devices: One training at a time on each; None is whatever the recipe says.

    Returns:
        The results, and what failed, in words; the other trainings are done all the same.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after the trainings were saved.
        ConfigError: The folder holds results with other settings.
    """
    results: Results = {}
    todo = [each for each in trainings if not _read_results(each, data, split, results)]
    num_done = len(trainings) - len(todo)
    stderr().print(f"{len(trainings)} models, {num_done} of them done before")
    failures: list[str] = []
    stop, free = threading.Event(), SimpleQueue[str | None]()
    for device in devices:
        free.put(device)

    def work(training: Training) -> None:
        if stop.is_set():
            return
        device = free.get()
        try:
            _do(training, data, split, stop, device, show=len(devices) == 1)
        except StoppedError:
            pass
        except DigitspotError as error:
            failures.append(f"{training.run.name}: {error}")
            stderr().print(f"[bold red]failed:[/] {failures[-1]}")
        finally:
            free.put(device)

    _work_off(work, todo, stop, len(devices))
    for training in todo:
        _read_results(training, data, split, results)
    return results, failures


def _work_off(
    work: Callable[[Training], None], todo: Sequence[Training], stop: threading.Event, num: int
) -> None:
    """Give the trainings to threads; Ctrl-C ends what is going on and begins nothing new."""
    with ThreadPoolExecutor(num) as pool:
        pending = [pool.submit(work, training) for training in todo]
        try:
            for each in pending:
                each.result()
        except BaseException:
            stop.set()
            raise


def _do(
    training: Training, data: Path, split: str, stop: threading.Event, device: str | None, show: bool
) -> None:
    log = None if show else training.run.with_name(f"{training.run.name}.log")
    if training.config is not None and not _is_finished(training):
        _train(training, training.config, data, stop, device, log)
    for variant, folder in training.answers:
        if stored_result(folder) is None:
            stderr().print(f"[bold]{variant.name}, {training.name}:[/] answering {split}")
            where = "auto" if device is None else f"cuda:{device}"
            with tracking("reading") as progress:

                def watch(done: int, total: int, progress: Update = progress) -> None:
                    progress(done, total)
                    if stop.is_set():
                        raise StoppedError

                answer_and_score(training.run, variant, folder, data, split, where, watch)


def _train(
    training: Training,
    config: Config,
    data: Path,
    stop: threading.Event,
    device: str | None,
    log: Path | None,
) -> None:
    """Begin a training or go on with it; keep the most memory that any stretch of it took."""
    started = Run(training.run).started
    stderr().print(f"[bold]{training.run.name}:[/] {'going on' if started else 'training'}")
    arguments = begin_or_resume(training.run, config, data)
    peak = run_followed(arguments, stop, device=device, log=log)
    with writing_whole(training.finished) as file:
        json.dump({"peak_bytes": peak, "resumed": started}, file)


def _is_finished(training: Training) -> bool:
    """Return whether a training is done; one with other settings must not be taken for it."""
    if training.config is not None:
        check_recipe(training.run, training.config, "ablation")
    return training.finished.exists()


def _read_results(training: Training, data: Path, split: str, results: Results) -> bool:
    """Add what is answered; return whether all is."""
    finished = training.config is None or _is_finished(training)
    whole = True
    for variant, folder in training.answers:
        result = stored_result(folder) if finished else None
        if result is None:
            whole = False
            continue
        result.check(training.run, variant, data, split, folder)
        results[variant.name, training.name] = result
    return whole


def check_models(models: Sequence[Path], study: Study) -> None:
    """Refuse models where variants must be trained.

    Raises:
        ConfigError: They must; or none is given where the file has nothing to train.
        CheckpointError: One cannot be read.
    """
    if models and not study.answers_only:
        raise ConfigError(
            f"{study.name} compares trainings: it takes no --models",
            hint="Only variants that begin with `answer.` use a model that is there already.",
        )
    for model in models:
        load_model(model)


def visible_devices(names: Sequence[str]) -> Iterator[str | None]:
    """Return the devices to train on, one training at a time on each: those named, or all CUDA has."""
    import torch

    if names:
        yield from names
    elif torch.cuda.device_count() > 1:
        yield from map(str, range(torch.cuda.device_count()))
    else:
        yield None
