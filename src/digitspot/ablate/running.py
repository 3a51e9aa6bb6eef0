"""Train what is not trained yet, answer what is not answered yet; side by side on several GPUs."""

from __future__ import annotations

import os
import shlex
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from rich.markup import escape

from digitspot.ablate.scoring import Result, answering_command, score_answers, stored_result
from digitspot.ablate.study import Study, Variant
from digitspot.ablate.training import Training
from digitspot.detector.presets import build_detector
from digitspot.detector.trained import load_model
from digitspot.errors import ConfigError, DigitspotError
from digitspot.experiments.lengths import Length
from digitspot.experiments.process import StoppedError, run_followed, run_here
from digitspot.files import claiming
from digitspot.progress import stderr

Results = dict[tuple[str, str], Result]
"""By the variant's name and the seed's, or the model's where none is trained."""


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
        for name in dict.fromkeys(variant.trained_as for variant in study.variants):
            sharing = [variant for variant in study.variants if variant.trained_as == name]
            config = sharing[0].config
            train = replace(config.train, seed=seed, epochs=lengths[sharing[0].name].epochs)
            run = output / "trainings" / f"{name}-{seed}"
            answers = _answers(sharing, str(seed), output)
            trainings.append(Training(run, str(seed), replace(config, train=train), answers))
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
    elsewhere: list[str] = []
    stop, free = threading.Event(), SimpleQueue[str | None]()
    for device in devices:
        free.put(device)

    def work(training: Training) -> None:
        if stop.is_set():
            return
        device = free.get()
        log = None if len(devices) == 1 else training.run.with_name(f"{training.run.name}.log")
        try:
            with claiming(training.lock) as mine:
                if mine:
                    _do(training, data, split, stop, device, log)
                else:
                    elsewhere.append(training.run.name)
        except StoppedError:
            pass
        except Exception as error:  # whatever it is, the others are done
            if not isinstance(error, DigitspotError):
                traceback.print_exc()
            failures.append(f"{training.run.name}: {error or type(error).__name__}")
            stderr().print(f"[bold red]failed:[/] {escape(failures[-1])}")
        finally:
            free.put(device)

    _work_off(work, todo, stop, len(devices))
    for training in todo:
        _read_results(training, data, split, results)
    if elsewhere:
        names = ", ".join(elsewhere)
        stderr().print(f"left to another process: {names}; the same command adds its results", markup=False)
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
    training: Training,
    data: Path,
    split: str,
    stop: threading.Event,
    device: str | None,
    log: Path | None,
) -> None:
    if training.config is not None and not training.is_finished(data):
        training.train(training.config, data, stop, device, log)
    for variant, folder in training.answers:
        if stored_result(folder) is None:
            stderr().print(f"[bold]{escape(variant.name)}, {escape(training.name)}:[/] answering {split}")
            command = answering_command(training.run, variant, folder, data, split, device)
            run_followed(command, stop, device=device, log=log)
            score_answers(training.run, variant, folder, data, split, training.peak_bytes)


def _read_results(training: Training, data: Path, split: str, results: Results) -> bool:
    """Add what is answered; return whether all is."""
    finished = training.is_finished(data)
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


def make_what_is_needed(study: Study, output: Path) -> None:
    """Run the commands of files that are missing.

    Raises:
        DigitspotError: One failed, did not make its file, or another process is at them.
    """
    with claiming(output / "needs.lock") as mine:
        for name, command in study.needs.items():
            if not Path(name).exists() and not mine:
                raise ConfigError(f"another process is making {name}", hint="Wait for it.")
            if not Path(name).exists():
                stderr().print(f"{name} is missing: digitspot {shlex.join(command)}", markup=False)
                run_here(command)
            if not Path(name).exists():
                raise ConfigError(f"`digitspot {shlex.join(command)}` did not make {name}")


def check_starts(study: Study) -> None:
    """See, before hours of training, that there is what each variant starts from.

    Raises:
        ConfigError: Its preset has no such weights.
        CheckpointError: They cannot be read, or are another network's.
    """
    starts = {repr(variant.config.model): variant.config.model for variant in study.variants}
    for start in starts.values():
        build_detector(start)


def devices_to_use(names: Sequence[str], study: Study) -> list[str | None]:
    """Return the devices to train on, one training at a time on each: those named, or all that CUDA sees.

    Args:
        names: Numbers as this process counts them, within `CUDA_VISIBLE_DEVICES` where that is set.
        study: Its recipes must leave the device open where there are several.

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
