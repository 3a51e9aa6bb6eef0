"""Start a training, go on with one, and with the shorter lengths that branch off it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from digitspot.config import Config, check_config, load_recipe
from digitspot.dataset.sampler import BatchPlan
from digitspot.dataset.samples import Samples
from digitspot.dataset.splits import open_training, require_splits
from digitspot.detector import build_detector
from digitspot.detector.model import pick_device
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import CheckpointError, ConfigError
from digitspot.files import check_writable, claiming, data_path
from digitspot.progress import stderr, tracking
from digitspot.ranks import Ranks, joined, launched
from digitspot.runtime.torch_runtime import pick_precision
from digitspot.synth.cached import generated_set, is_generated
from digitspot.training.allocator import keep_freed_memory
from digitspot.training.budget import describe, fit_to_budget
from digitspot.training.checkpoint import load_training, stored_config
from digitspot.training.learner import Learner
from digitspot.training.loader import RemainingBatches, own_share, plan_batches, start_loading
from digitspot.training.loop import Trainer
from digitspot.training.runlog import ENVIRONMENT, Run
from digitspot.training.state import TrainState, branch_step, position_of_step, stored_state
from digitspot.training.validation import Validator, runtime_of


def train(recipe: str | Path | Config, *, data: str | Path, output: str | Path) -> Path:
    """Train a detector from a recipe.

    Args:
        recipe: A recipe file, or a configuration.
        data: A data set in the homework's layout, with `train` and `valid`.
        output: The run folder, new; `digitspot.Reader.load` takes it.

    Returns:
        The run folder.

    Raises:
        ConfigError: The recipe cannot be used, or the folder already holds a training.
        DataError: Labels or images cannot be used.
        CheckpointError: The weights to start from cannot be had.
    """
    config = recipe if isinstance(recipe, Config) else load_recipe(Path(recipe))
    return start_training(config, data_path(data), Path(output)).path


def start_training(config: Config, data: Path, output: Path) -> Run:
    """Train from the start; started by torchrun again, go on with the same training.

    Args:
        config: The resolved recipe.
        data: A data set in the homework's layout, with `train` and `valid`.
        output: The run folder; must not hold another training.

    Returns:
        The run, with `best.pt` to use and `last.pt` to go on from.

    Raises:
        ConfigError, DataError, CheckpointError: See their messages; another process training in the same
            folder is one.
        Interrupted: On Ctrl-C, after the state was saved.
    """
    check_config(config)
    require_splits(data)  # before images are generated
    run = Run(output)
    with joined() as ranks, _claimed(run, ranks):
        also = ranks.first(lambda: tuple(str(_also(other)) for other in config.data.also))
        config = replace(config, data=replace(config.data, also=also))
        started, is_same = ranks.first(lambda: (run.started, run.is_of(config, data.resolve())))
        if started and not (launched() and is_same):
            raise ConfigError(
                f"{output} already holds a training",
                hint=f"Go on with `digitspot train --resume {output}`, or choose another --output.",
            )
        if started:
            config, _ = ranks.first(lambda: _what_to_resume(run, data))
        _train(config, run, data, ranks)
    return run


def resume_training(output: Path, data: Path | None = None, memory_budget: str | None = None) -> Run:
    """Go on with a training where it was last saved; the result is that of one never stopped.

    Args:
        output: The run folder.
        data: The data set, where it has moved since.
        memory_budget: Replaces the run's own, which it was laid out for.

    Raises:
        CheckpointError: There is nothing to go on from, the labels have changed, or another process is at it.
    """
    run = Run(output)
    with joined() as ranks, _claimed(run, ranks):
        config, data = ranks.first(lambda: _what_to_resume(run, data))
        if memory_budget is not None:
            config = replace(config, train=replace(config.train, memory_budget=memory_budget))
            check_config(config)
        _train(config, run, data, ranks)
    return run


def _also(other: str) -> Path:
    return generated_set(other) if is_generated(other) else data_path(other).resolve()


@contextmanager
def _claimed(run: Run, ranks: Ranks) -> Iterator[None]:
    """Keep other processes from training into the same folder."""
    with claiming(run.path / "lock") if ranks.is_first else nullcontext(True) as mine:
        if any(ranks.any(not mine)):
            raise CheckpointError(
                f"another process is training in {run.path}", hint="Wait for it, or choose another --output."
            )
        yield


@dataclass(frozen=True)
class Stretch:
    """One stretch of training with a run folder of its own: the whole, or a branch of its trunk.

    Attributes:
        config: What is trained; a branch has fewer epochs.
        run: Where it is written.
        trunk: The checkpoint that a branch begins from; None for the whole.
    """

    config: Config
    run: Run
    trunk: Path | None = None

    @property
    def checkpoint(self) -> Path | None:
        """The state to begin from; None begins at random or from the weights of the recipe."""
        return self.run.last if self.run.last.exists() else self.trunk

    def first_state(self, checkpoint: Path) -> TrainState:
        """Return the state in a checkpoint; a branch that begins chooses its own best model."""
        state = stored_state(checkpoint)
        return replace(state, best=TrainState.best, waited=0) if checkpoint == self.trunk else state

    def remaining(self, plan: BatchPlan) -> RemainingBatches:
        """Return the batches to train on yet."""
        if self.run.last.exists():
            state = stored_state(self.run.last)
            epoch, update = state.epoch, state.update
        else:
            step = branch_step(self.config, plan) if self.trunk else 0
            epoch, update = position_of_step(self.config, plan, step)
        return RemainingBatches(
            plan, self.config.optimizer.accumulate, epoch, update, self.config.train.epochs
        )


def _stretches(config: Config, run: Run) -> list[Stretch]:
    """Return the whole training, then its branches; a trial has none."""
    stretches = [Stretch(config, run)]
    for epochs in config.schedule.branch_epochs if config.train.max_updates is None else ():
        branch = replace(
            config,
            train=replace(config.train, epochs=epochs),
            schedule=replace(config.schedule, branch_epochs=()),
        )
        stretches.append(Stretch(branch, Run(run.path / f"epochs-{epochs}"), run.path / _trunk(epochs)))
    return stretches


def _train(config: Config, run: Run, data: Path, ranks: Ranks) -> None:
    """Train one stretch after the other; the loader processes start before the network is built."""
    ranks.num_own(config.train.batch_size, "train.batch_size")
    device = ranks.device(pick_device(config.train.device))
    ranks.first(lambda: check_writable(run.path))
    opened = open_training(data, config)
    images = opened.seen.digest()
    if any(ranks.any(run.started and not run.began_with(images))):
        raise CheckpointError(
            f"the labels that {run.path} trains on have changed since it began",
            hint="Give it the labels of before, or train anew into another --output.",
        )
    asked = config
    config = ranks.first(lambda: _laid_out(asked, run, device, opened.samples, ranks))
    _say(ranks, describe(config, opened.samples) if config.train.memory_budget is not None else "")
    stretches = _stretches(config, run)
    samples = opened.samples
    name = "untouched slice of valid" if config.data.merge_valid else "valid"
    indices = opened.valid_indices.tolist()
    validator = Validator(opened.valid, indices, name) if indices else None
    _say(ranks, f"digit=category_id: {samples.categories}")
    plan = plan_batches(samples, config)
    trunks = {branch_step(stretch.config, plan): stretch.trunk for stretch in stretches if stretch.trunk}
    if 0 in trunks:
        raise ConfigError(f"{trunks[0]}: the decay would begin before the first update")
    remaining = ranks.first(lambda: [stretch.remaining(plan) for stretch in stretches])
    own = (own_share(batch, ranks) for batch in chain.from_iterable(remaining))
    batches = start_loading(samples, config, own, pin=device.type == "cuda")
    keep_freed_memory()  # not the loader processes, whose images are small
    torch.manual_seed(config.train.seed)
    from_start = ranks.first(lambda: stretches[0].checkpoint is None)
    learner = Learner(build_detector(config.model, load_weights=from_start), config, device, ranks)
    for stretch in stretches:
        weights, state = ranks.first(lambda: _begin(stretch, data, asked, images))  # noqa: B023 - called at once
        if weights is not None:
            learner.load_state_dict(weights)
        trainer = Trainer(
            stretch.config, stretch.run, opened, validator, learner, batches, state, trunks, ranks
        )
        _say(ranks, _description(trainer))
        trainer.train()
        if validator is not None and config.train.max_updates is None:
            ranks.first(lambda: _fit_looks(trainer, validator))  # noqa: B023 - called at once


def _fit_looks(trainer: Trainer, validator: Validator) -> None:
    """Fit the best model's reader to several looks, where they are asked for and not fitted yet."""
    num_looks = trainer.config.train.looks
    if num_looks == 1 or (best := load_model(trainer.run.best)).reading.looks is not None:
        return
    runtime = runtime_of(best.detector, trainer.config, trainer.learner.device)  # in fp32, as it will be read
    with tracking("fitting the looks") as show:
        reading = validator.fit_looks(runtime, num_looks, show)
    save_model(replace(best, reading=reading), trainer.run.best)
    _say(trainer.ranks, str(reading))


def _laid_out(config: Config, run: Run, device: torch.device, samples: Samples, ranks: Ranks) -> Config:
    """Return the configuration with what follows from the machine; a run that has begun keeps its own."""
    return config if run.started else fit_to_budget(_with_precision(config, device), samples, ranks)


def _begin(
    stretch: Stretch, data: Path, asked: Config, images: str
) -> tuple[dict[str, Any] | None, TrainState]:
    """Make the run folder, or leave in it what the state holds; return weights and state to begin from."""
    if not stretch.run.started:
        stretch.run.start(stretch.config, data.resolve(), asked, images)
    weights, state = None, TrainState()
    if stretch.checkpoint is not None:
        weights = load_training(stretch.checkpoint)["learner"]
        state = stretch.first_state(stretch.checkpoint)
    _drop_later_metrics(stretch.run, state)
    return weights, state


def _say(ranks: Ranks, line: str) -> None:
    if ranks.is_first and line:
        stderr().print(line)


def _with_precision(config: Config, device: torch.device) -> Config:
    """Return the configuration with the precision to train in, which a resumed run keeps."""
    precision: Any = pick_precision(config.train.precision, device)
    return replace(config, train=replace(config.train, precision=precision))


def _trunk(epochs: int) -> str:
    return f"trunk-{epochs}.pt"


def _what_to_resume(run: Run, data: Path | None) -> tuple[Config, Path]:
    environment = run.path / ENVIRONMENT
    if not environment.exists():
        raise CheckpointError(
            f"{run.path} holds no training", hint="Start one: digitspot train RECIPE --data DIR --output RUN."
        )
    if data is None:
        data = _stored_data(environment)
    if run.last.exists():
        return stored_config(run.last), data
    return load_recipe(run.path / "config.yaml"), data


def _stored_data(environment: Path) -> Path:
    try:
        return data_path(json.loads(environment.read_text(encoding="utf-8"))["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{environment} is damaged: {error}", hint="Say where the data set is: --resume RUN --data DIR."
        ) from error


def _drop_later_metrics(run: Run, state: TrainState) -> None:
    """Drop what was logged after the saved state: the resumed training logs it again."""
    is_validated = state.update == 0 or state.validated == state.step  # also by a stop within an epoch
    before_the_state = {"train", "round"} | ({"valid", "held_out"} if is_validated else set())
    run.keep_metrics(
        lambda record: (
            record["step"] < state.step
            or (record["step"] == state.step and record["kind"] in before_the_state)
        )
    )


def _description(trainer: Trainer) -> str:
    config = trainer.config
    parameters = sum(parameter.numel() for parameter in trainer.learner.detector.parameters())
    at = f", from update {trainer.state.step}" if trainer.state.step else ""
    together = f", {trainer.ranks.size} processes" if trainer.ranks.size > 1 else ""
    return (
        f"{config.model.preset}, {parameters / 1e6:.1f} M parameters, {config.train.precision} on "
        f"{trainer.learner.device}{together}; {config.train.epochs} epochs, {trainer.total_steps} updates{at}"
    )
