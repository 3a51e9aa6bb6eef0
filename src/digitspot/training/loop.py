"""The training loop: batches, updates, validations, checkpoints; resumes as the same run."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from digitspot.config import Config, config_to_dict
from digitspot.data.labels import CategoryMap
from digitspot.data.pack import Pack
from digitspot.data.sampler import Batch
from digitspot.progress import Update, tracking
from digitspot.reading import ReadingSettings
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.training.checkpoint import Model, load_state, save_model, save_training
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch, plan_batches
from digitspot.training.runlog import Run
from digitspot.training.schedule import Plateau, decay_start, rate_factor
from digitspot.training.validation import Validation, Validator

LOG_EVERY_UPDATES = 20


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; the state was saved, and the message says how to go on."""


@dataclass
class Place:
    """Where a training is: with the learner's state, all that a resumed one needs.

    Attributes:
        epoch: From 0.
        update: Updates done in this epoch.
        step: Updates done in all.
        images_seen: Training images seen, counting repeats.
        seconds: Spent in updates and in waiting for batches.
        best: Best validation so far, by the figure that selects.
        waited: Validations since then.
        plateau: State of that schedule.
    """

    epoch: int = 0
    update: int = 0
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    waited: int = 0
    plateau: Plateau = field(default_factory=Plateau)


def stored_place(path: Path) -> Place:
    """Read where a saved training is, without reading its weights."""
    values = dict(load_state(path, kind="training", mmap=True)["place"])
    return Place(**{**values, "plateau": Plateau(**values["plateau"])})


class Trainer:
    """One training of one detector.

    Args:
        config: Everything that decides the result, with the data.
        run: Where it is written.
        pack: Training images.
        validator: Measures on the validation images.
        learner: The network and its optimiser, at `place`.
        batches: The tensors of the batches from `place` on.
        place: Where to begin.
        trunks: Where to keep the state after some updates, for branches.
    """

    def __init__(
        self,
        config: Config,
        run: Run,
        pack: Pack,
        validator: Validator,
        learner: Learner,
        batches: Iterator[TensorBatch],
        place: Place,
        trunks: Mapping[int, Path] | None = None,
    ) -> None:
        self.config, self.run, self.pack = config, run, pack
        self.validator, self.learner, self.batches, self.place = validator, learner, batches, place
        self.trunks = trunks or {}
        self.plan = plan_batches(pack, config)
        self._stop_requested = False

    @property
    def categories(self) -> CategoryMap:
        """The category ids of the training labels."""
        return self.pack.categories

    def train(self) -> None:
        """Train to the end of the last epoch.

        Raises:
            Interrupted: On Ctrl-C or SIGTERM, after the state was saved.
            NonFiniteLossError: The last good checkpoint is left.
        """
        with _deferred_interrupts(self._request_stop), tracking("training") as show:
            while self.place.epoch < self.config.train.epochs and not self._early_stop():
                self._train_epoch(show)
                if self._trial_ended():
                    self.save(self.run.last)
                    return
                self._end_epoch()
                if self._stop_requested:
                    raise self._interrupted()

    def _train_epoch(self, show: Update) -> None:
        groups = update_groups(self.plan.epoch(self.place.epoch), self.config.optimizer.accumulate)
        total_images = self.config.train.epochs * self.plan.num_batches * self.plan.batch_size
        saved = start = time.monotonic()
        waiting = groups[self.place.update : self._updates_left(len(groups))]
        for group in waiting:
            batches = [next(self.batches) for _ in group]
            factor = self._rate_factor()
            losses = self.learner.update(batches, factor, self.place.step)
            now = time.monotonic()
            self._advance(batches, now - start)
            start = now
            self._log_update(losses, factor)
            show(self.place.images_seen, total_images, f"loss {losses['loss']:.3f}")
            if self.place.step in self.trunks and not self.trunks[self.place.step].exists():
                self.save(self.trunks[self.place.step])
            if self._stop_requested or now - saved > self.config.train.checkpoint_every_seconds:
                self.save(self.run.last)
                saved = start = time.monotonic()
            if self._stop_requested:
                raise self._interrupted()

    def _updates_left(self, num_updates: int) -> int:
        """Return where in this epoch to end: after its updates, or where a trial ends."""
        limit = self.config.train.max_updates
        return num_updates if limit is None else max(0, limit - self.place.step) + self.place.update

    def _trial_ended(self) -> bool:
        limit = self.config.train.max_updates
        return limit is not None and self.place.step >= limit

    def _rate_factor(self) -> float:
        return self.place.plateau.scale * rate_factor(self.config.schedule, self.place.step, self.total_steps)

    @property
    def total_steps(self) -> int:
        """Updates of the whole training."""
        return total_steps(self.config, self.plan.num_batches)

    def _advance(self, batches: Sequence[TensorBatch], seconds: float) -> None:
        self.place.update += 1
        self.place.step += 1
        self.place.images_seen += sum(len(batch.image_ids) for batch in batches)
        self.place.seconds += seconds

    def _log_update(self, losses: dict[str, float], factor: float) -> None:
        if self.place.step % LOG_EVERY_UPDATES:
            return
        rounded = {name: round(value, 5) for name, value in losses.items()}
        self.run.log({"kind": "train", **self._when(), **rounded, "rate_factor": round(factor, 6)})

    def _end_epoch(self) -> None:
        self.place.epoch += 1
        self.place.update = 0
        every = self.config.train.validate_every_epochs
        if self.place.epoch % every == 0 or self.place.epoch == self.config.train.epochs:
            self._validate()
        self.save(self.run.last)

    def _validate(self) -> None:
        runtime = TorchRuntime(
            self.learner.best_model, self.config.input, self.learner.device, self.config.train.precision
        )
        with tracking("validating") as show:
            validation = self.validator(runtime, show)
        score = validation.mean(self.config.train.select_by)
        improved = score > self.place.best
        self.place.waited = 0 if improved else self.place.waited + 1
        self.place.plateau.observe(self.config.schedule, improved, self.config.optimizer.rate)
        if improved:
            self.place.best = score
            self._save_best(validation)
        scores = {name: round(value, 5) for name, value in validation.scores.items()}
        self.run.log({"kind": "valid", **self._when(), **scores, **asdict(validation.reading)})

    def _save_best(self, validation: Validation) -> None:
        model = Model(
            detector=self.learner.best_model,
            config=self.config,
            categories=self.categories,
            reading=ReadingSettings(**asdict(validation.reading)),
            scores={**validation.scores, "epoch": float(self.place.epoch)},
        )
        save_model(model, self.run.best)

    def _early_stop(self) -> bool:
        patience = self.config.train.early_stopping
        return 0 < patience <= self.place.waited

    def _when(self) -> dict[str, Any]:
        place = self.place
        return {
            "step": place.step,
            "epoch": round(place.epoch + place.update * self.config.train.epochs / self.total_steps, 3),
            "images_seen": place.images_seen,
            "seconds": round(place.seconds, 1),
        }

    def save(self, path: Path) -> None:
        """Write the state of the training."""
        state = {
            "config": config_to_dict(self.config),
            "learner": self.learner.state_dict(),
            "place": asdict(self.place),
        }
        save_training(state, path)

    def _request_stop(self) -> None:
        self._stop_requested = True

    def _interrupted(self) -> Interrupted:
        where = f"saved at update {self.place.step} of {self.total_steps}"
        return Interrupted(f"{where}; go on with: digitspot train --resume {self.run.path}")


def update_groups(batches: Sequence[Batch], accumulate: int) -> list[list[Batch]]:
    """Deal the batches of an epoch into updates."""
    return [list(batches[start : start + accumulate]) for start in range(0, len(batches), accumulate)]


def total_steps(config: Config, num_batches: int) -> int:
    """Return the updates of a training with that many batches in an epoch."""
    return config.train.epochs * updates_per_epoch(config, num_batches)


def updates_per_epoch(config: Config, num_batches: int) -> int:
    """Return the updates of an epoch; its last one may be of fewer batches."""
    return -(-num_batches // config.optimizer.accumulate)


def branch_step(config: Config, num_batches: int) -> int:
    """Return the update of the trunk after which a training of `config.train.epochs` goes its own way."""
    return decay_start(config.schedule, total_steps(config, num_batches))


@contextmanager
def _deferred_interrupts(request: Callable[[], None]) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts at once."""
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: FrameType | None) -> None:
        request()
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread: signals are the caller's
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
