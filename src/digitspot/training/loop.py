"""The training loop: batches, updates, validations, checkpoints; resumes as the same run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from digitspot.config import Config, config_to_dict, parse_size
from digitspot.dataset.sampler import Batch, update_groups
from digitspot.dataset.splits import TrainingData
from digitspot.detector import Detector
from digitspot.detector.trained import Model, load_model, save_model
from digitspot.errors import MemoryBudgetError
from digitspot.processes import deferred_interrupts
from digitspot.progress import Update, tracking
from digitspot.ranks import ALONE, Ranks
from digitspot.reading import ReadingSettings
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.training.checkpoint import save_training
from digitspot.training.learner import Learner
from digitspot.training.loader import TensorBatch, plan_batches
from digitspot.training.memory import Memory
from digitspot.training.runlog import Run
from digitspot.training.schedule import lr_factor, stale_after
from digitspot.training.state import TrainState, total_images, total_steps, updates_in
from digitspot.training.validation import Validation, Validator, fit_reading, look, runtime_of

LOG_EVERY_UPDATES = 20


def _say_nothing(done: int, total: int, note: str = "") -> None:
    """Show no progress: the first rank does."""


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; the state was saved, and the message says how to go on."""


class Trainer:
    """One training of one detector.

    Args:
        config: Everything that decides the result, with the data.
        run: Where it is written.
        data: Training images.
        validator: Measures on the validation images; None where all of them are trained on.
        learner: The network and its optimiser, at `state`.
        batches: The tensors of the batches from `state` on.
        state: Where to begin.
        trunks: Where to keep the state after some updates, for branches.
        ranks: Who trains along; the first one alone measures and writes, and all go by what it found.
    """

    def __init__(
        self,
        config: Config,
        run: Run,
        data: TrainingData,
        validator: Validator | None,
        learner: Learner,
        batches: Iterator[TensorBatch],
        state: TrainState,
        trunks: Mapping[int, Path] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.run, self.samples, self.seen = config, run, data.samples, data.seen
        self.validator, self.learner, self.batches, self.state = validator, learner, batches, state
        self.trunks = trunks or {}
        self.ranks = ranks
        self.plan = plan_batches(self.samples, config)
        self.total_steps = total_steps(config, self.plan)
        self.total_images = total_images(config, self.plan)
        budget = config.train.memory_budget
        self.memory = Memory(None if budget is None else parse_size(budget) // ranks.local_size)
        self._stop_requested = False
        self._waits: list[float] = []
        self._saved_at = time.monotonic()

    def train(self) -> None:
        """Train to the end of the last epoch.

        Raises:
            Interrupted: On Ctrl-C or SIGTERM, after the state was saved, unless the signal ended the loader
                processes, too: then the last checkpoint is left.
            MemoryBudgetError: The budget is used up; the state was saved.
            NonFiniteLossError: The last good checkpoint is left.
        """
        progress = tracking("training") if self.ranks.is_first else nullcontext(_say_nothing)
        with deferred_interrupts(self._request_stop), progress as show:
            try:
                self._train_epochs(show)
            except (RuntimeError, ConnectionError, EOFError) as error:
                # What the end of a loader process raises, in the middle of whatever was going on.
                if not self._stop_requested:
                    raise
                raise self._interrupted("stopped with its loader processes at") from error

    def _train_epochs(self, show: Update) -> None:
        while not self._ended():
            self._train_epoch(show)
            if self._trial_ended():
                self.save(self.run.last)
                return
            self._end_epoch()
            if any(self.ranks.any(self._stop_requested)):
                raise self._interrupted()

    def _train_epoch(self, show: Update) -> None:
        """Do the updates of an epoch that are left, to its end or that of the training."""
        groups = update_groups(self.plan.epoch(self.state.epoch), self.config.optimizer.accumulate)
        parts = [None, *(group[0].part for group in groups), None]
        self._saved_at = time.monotonic()
        for number in range(self.state.update, len(groups)):
            before, part, after = parts[number : number + 3]
            if self._trial_ended() or self._early_stop():
                return
            if part != before:
                self._begin_round(groups, number)
            losses = self._update(groups[number], first=part != before)
            if part != after:
                self._end_round(groups[number][0].part)
            self.memory.look()
            show(self.state.images_seen, self.total_images, f"loss {losses['loss']:.3f} {self.memory}")
            self._save_when_due()

    def _update(self, group: Sequence[Batch], first: bool) -> dict[str, float]:
        """Do one update; from a part's `first` on, note how long its images were waited for."""
        start = time.monotonic()
        batches = [next(self.batches) for _ in group]
        self._waits = [*([] if first else self._waits), time.monotonic() - start]
        factor = self._lr_factor()
        losses = self.learner.update(batches, factor, self.state.step)
        self.state.update += 1
        self.state.step += 1
        self.state.images_seen += sum(len(batch.indices) for batch in group)
        self.state.seconds += time.monotonic() - start
        self.state.prequential.add(losses["loss"], self.config.train)
        if self.state.step % LOG_EVERY_UPDATES == 0:
            figures = {**losses, **self.state.prequential.figures(), **self.memory.figures()}
            self._log("train", **figures, lr_factor=factor)
        return losses

    def _begin_round(self, groups: Sequence[Sequence[Batch]], number: int) -> None:
        """Score the part of the update `number` before it is trained on, the reader as fitted to the last."""
        part = groups[number][0].part
        if self.config.train.score_parts:
            indices = [i for group in groups for batch in group if batch.part == part for i in batch.indices]
            begun = asdict(self.state)
            self.state.reading = self.ranks.first(lambda: self._score("part", part, sorted(indices), begun))

    def _end_round(self, part: int) -> None:
        state, loss = self.state, self.state.prequential.end_round()
        first, *others = self._waits
        waits = {
            "wait_seconds": first,
            "usual_wait_seconds": median(others or [0.0]),
            "longest_wait_seconds": max(others, default=0.0),
        }
        if self.config.train.select_by == "loss" and -loss > state.best:
            state.best = -loss
            self._save_best({"round_loss": loss}, state.reading)
        self._log("round", part=part, loss=loss, lr_factor=self._lr_factor(), **waits)
        if self.config.counts_rounds:
            improved = state.plateau.observe_round(
                self.config.schedule, part, loss, self.plan.num_parts, self.config.optimizer.lr
            )
            state.waited = stale_after(state.waited, improved)

    def _score(
        self, kind: str, part: int, indices: Sequence[int], begun: Mapping[str, Any]
    ) -> ReadingSettings:
        """Measure on images to train on; in the first cycle they are unseen, later they are not.

        Returns:
            The reader's settings from now on.
        """
        found = look(
            self._runtime(self.learner.best_model),
            self.samples,
            indices,
            with_loss=True,
            progress=lambda _: self._watch_memory(begun),
        )
        self._log(kind, part=part, unseen=self.state.epoch == 0, **found.scores(self.state.reading))
        if self.state.epoch == 0 or self.validator is not None:  # later, the images are known
            return fit_reading(found)[0]
        return self.state.reading

    def _save_when_due(self) -> None:
        trunk = self.trunks.get(self.state.step)
        if trunk is not None and not trunk.exists():
            self.save(trunk)
        exceeded, requested = self.ranks.any(self.memory.exceeded, self._stop_requested)
        self._stop_where_asked(exceeded, requested)
        if time.monotonic() - self._saved_at > self.config.train.checkpoint_every_seconds:
            self.save(self.run.last)
            self._saved_at = time.monotonic()

    def _watch_memory(self, begun: Mapping[str, Any]) -> None:
        """Look at the memory while evaluating, too; what is stopped there begins anew when resumed."""
        self.memory.look()
        self._stop_where_asked(self.memory.exceeded, self._stop_requested, begun)

    def _stop_where_asked(
        self, exceeded: bool, requested: bool, state: Mapping[str, Any] | None = None
    ) -> None:
        """Save this state or another one and stop, where the budget is used up or the user said so."""
        if exceeded or requested:
            self.save(self.run.last, state)
        if exceeded:
            raise MemoryBudgetError(
                f"{self.memory} are used: stopped, saved at update {self.state.step} of {self.total_steps}",
                hint=f"Go on with a larger budget: digitspot train --resume {self.run.path} "
                "--train.memory-budget SIZE.",
            )
        if requested:
            raise self._interrupted()

    def _trial_ended(self) -> bool:
        limit = self.config.train.max_updates
        return limit is not None and self.state.step >= limit

    def _lr_factor(self) -> float:
        return self.state.plateau.scale * lr_factor(self.config.schedule, self.state.step, self.total_steps)

    def _end_epoch(self) -> None:
        """Validate where it is due; after a stop within the epoch, too."""
        begun = asdict(self.state)
        stopped = self._early_stop()
        held_out = self.plan.held_out(self.state.epoch)
        if held_out is not None and not stopped:
            indices = self.plan.parts(self.state.epoch)[held_out].tolist()
            self.state.reading = self.ranks.first(lambda: self._score("held_out", held_out, indices, begun))
        if not stopped:
            self.state.epoch += 1
            self.state.update = 0
        every = self.config.train.validate_every_epochs
        if stopped or self.state.epoch % every == 0 or self.state.epoch == self.config.train.epochs:
            self._validate(begun)
        self.save(self.run.last)

    def _validate(self, begun: Mapping[str, Any]) -> None:
        self.state.validated = self.state.step
        validator = self.validator
        if validator is None:
            self._save_best({}, self.state.reading)
            return
        if self.config.train.select_by == "loss":
            self.ranks.first(lambda: self._calibrate_best(validator, begun))
            return
        validation = self.ranks.first(lambda: self._measure(validator, self.learner.best_model, begun))
        score = validation.mean(self.config.train.select_by)
        improved = score > self.state.best
        if not self.config.counts_rounds:
            self.state.waited = stale_after(self.state.waited, improved)
            self.state.plateau.observe(self.config.schedule, improved, self.config.optimizer.lr)
        if improved:
            self.state.best = score
            self._save_best(validation.scores, validation.reading)
        self._log("valid", of=validator.name, **validation.scores)

    def _measure(self, validator: Validator, detector: Detector, begun: Mapping[str, Any]) -> Validation:
        with tracking("validating") as show:

            def progress(done: int, total: int) -> None:
                show(done, total)
                self._watch_memory(begun)

            return validator(self._runtime(detector), progress)

    def _calibrate_best(self, validator: Validator, begun: Mapping[str, Any]) -> None:
        """Validate the best model so far, which was chosen by its loss, and fit its reader."""
        best = load_model(self.run.best)
        validation = self._measure(validator, best.detector, begun)
        save_model(replace(best, reading=validation.reading, scores=validation.scores), self.run.best)
        self._log("valid", of=validator.name, **validation.scores)

    def _runtime(self, detector: Detector) -> TorchRuntime:
        return runtime_of(detector, self.config, self.learner.device, self.config.train.precision)

    def _save_best(self, scores: Mapping[str, float], reading: ReadingSettings) -> None:
        if not self.ranks.is_first:
            return
        model = Model(
            detector=self.learner.best_model,
            config=self.config,
            categories=self.samples.categories,
            reading=reading,
            scores={**scores, "epoch": float(self.state.epoch)},
            seen=self.seen,
        )
        save_model(model, self.run.best)

    def _ended(self) -> bool:
        """Whether all is done, the validation after an early stop included."""
        validated = self.state.validated == self.state.step
        return self.state.epoch >= self.config.train.epochs or (self._early_stop() and validated)

    def _early_stop(self) -> bool:
        patience = self.config.train.early_stopping
        return 0 < patience <= self.state.waited

    def _log(self, kind: str, **figures: Any) -> None:
        """Write a record, with the update and the cycle that it is of."""
        if not self.ranks.is_first:
            return
        state = self.state
        fraction = state.update / updates_in(self.config, self.plan, state.epoch)
        rounded = {
            name: round(value, 5) if isinstance(value, float) else value for name, value in figures.items()
        }
        self.run.log(
            {
                "kind": kind,
                "step": state.step,
                "epoch": round(state.epoch + fraction, 3),
                "cycle": state.epoch + (state.update > 0 or kind == "part"),
                "images_seen": state.images_seen,
                "seconds": round(state.seconds, 1),
                **rounded,
            }
        )

    def save(self, path: Path, state: Mapping[str, Any] | None = None) -> None:
        """Write the present state of the training, or another one."""
        if not self.ranks.is_first:
            return
        values = {
            "config": config_to_dict(self.config),
            "learner": self.learner.state_dict(),
            "state": asdict(self.state) if state is None else dict(state),
        }
        save_training(values, path)

    def _request_stop(self) -> None:
        self._stop_requested = True

    def _interrupted(self, how: str = "saved at") -> Interrupted:
        where = f"{how} update {self.state.step} of {self.total_steps}"
        return Interrupted(f"{where}; go on with: digitspot train --resume {self.run.path}")
