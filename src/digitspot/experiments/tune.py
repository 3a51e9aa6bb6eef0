"""Searches: trials one after the other, until the budget does not hold another whole one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from digitspot.config import Config
from digitspot.dataset.seen import Seen
from digitspot.errors import ConfigError, DigitspotError
from digitspot.experiments.lengths import Length, longest_within, open_to_plan, plan_training
from digitspot.experiments.overrides import Overrides
from digitspot.experiments.runner import EndedError
from digitspot.experiments.search import Tuning
from digitspot.experiments.study import IMAGES, begun_trial, best_trial, next_trial, suggest, trials_of
from digitspot.experiments.trainings import Training
from digitspot.experiments.trial import Follower, images_recorded, images_seen
from digitspot.experiments.words import STATES, said
from digitspot.progress import Update, stderr, tracking
from digitspot.training.loader import plan_batches

FAILURES_IN_A_ROW = 3
"""One trial may fail by its own settings; three in a row have another reason."""


@dataclass(frozen=True)
class TuneData:
    """The data set of a tuning.

    Attributes:
        data: Its folder.
        key: Tells it from others, by the labels of all images.
        num_valid: Images that trials are compared on.
        length: Of a whole trial, unless a searched setting changes it.
    """

    data: Path
    key: str
    num_valid: int
    length: Length


def open_data_set(tuning: Tuning, data: Path) -> TuneData:
    """Look at the data set; packs that are missing are built.

    Raises:
        ConfigError: A trial would be shorter than an epoch.
        DataError: Labels or images cannot be used.
    """
    opened = open_to_plan(tuning.recipe, data)
    labels = opened.seen.to_text() + Seen.of(opened.valid).to_text()
    length = longest_within(plan_batches(opened.samples, tuning.recipe), tuning.images)
    _check_length(length, tuning)
    return TuneData(
        data, blake2b(labels.encode(), digest_size=8).hexdigest(), len(opened.valid_indices), length
    )


@dataclass(frozen=True)
class Trials:
    """All trials of a study.

    Attributes:
        study: Where they are kept.
        tuning: What is searched.
        data_set: What they train on.
        folder: Holds a run folder of each, named by its number.
        after_each: Called after each.
    """

    study: optuna.Study
    tuning: Tuning
    data_set: TuneData
    folder: Path
    after_each: Callable[[], None]
    _lengths: dict[str, Length] = field(default_factory=dict)

    def run(self) -> None:
        """Run trials until the budget does not hold another whole one.

        Raises:
            KeyboardInterrupt: On Ctrl-C, after the training was saved.
            DigitspotError: Several in a row failed.
        """
        failures: list[str] = []
        with tracking("tuning") as show:
            while (trial := self._next()) is not None:
                failure = self._run_trial(trial, show)
                self.after_each()
                failures = [*failures, failure] if failure else []
                if len(failures) == FAILURES_IN_A_ROW:
                    raise DigitspotError(
                        f"{len(failures)} trials in a row failed, the last one: {failure}",
                        hint=f"What each of them wrote is in {self.folder}.",
                    )

    def images_of(self, trial: FrozenTrial) -> int:
        """Return the images that a trial saw so far."""
        done = trial.state.is_finished()
        return int(trial.user_attrs[IMAGES]) if done else images_seen(self.path_of(trial.number))

    def path_of(self, number: int) -> Path:
        """Return a trial's run folder."""
        return self.folder / f"{number:03d}"

    def spent(self, but: int | None = None) -> int:
        """Return the images that all trials but one saw."""
        return sum(self.images_of(each) for each in trials_of(self.study) if each.number != but)

    def _next(self) -> optuna.Trial | None:
        """Return the trial to go on with, or a new one; None if the budget does not hold the whole of it."""
        seed, limit = self.tuning.recipe.train.seed, self.tuning.trials
        begun = begun_trial(self.study, seed)
        if self.spent(but=None if begun is None else begun.number) + self.tuning.images > self.tuning.budget:
            return None
        if begun is None and limit is not None and len(trials_of(self.study)) >= limit:
            return None
        return begun or next_trial(self.study, seed)

    def _run_trial(self, trial: optuna.Trial, show: Update) -> str | None:
        """Train to the end or until the trial lags; return the reason if it failed."""
        values, path = suggest(trial, self.tuning), self.path_of(trial.number)
        stderr().print(f"trial {trial.number}: {said(values)}", markup=False)
        config = self._configure(values)
        state, score, failure = TrialState.FAIL, None, None
        if isinstance(config, str):
            failure = config
        else:
            training = Training(path, config, self.data_set.data)
            follower = Follower(trial, training, self._progress(trial.number, show))
            try:
                state = _train_again_if_killed(follower)
            except EndedError as error:
                failure = str(error)
            if state == TrialState.COMPLETE:
                score = follower.scores()[-1]
        trial.set_user_attr(IMAGES, images_seen(path))
        self.study.tell(trial, score, state)
        self._announce(trial.number, failure)
        return failure

    def _configure(self, values: Overrides) -> Config | str:
        """Return a trial's configuration, or why these values cannot be trained with together."""
        try:
            return self.tuning.configure(values, self._length(values).epochs)
        except ConfigError as error:
            return str(error)

    def _length(self, values: Overrides) -> Length:
        """Return how long a trial is; only a few settings change the images of an epoch."""
        changing = {
            name: value
            for name, value in values.items()
            if name.startswith("data.") or name == "train.batch_size"
        }
        if not changing:
            return self.data_set.length
        key = json.dumps(changing)
        if key not in self._lengths:
            plan = plan_training(self.tuning.configure(changing), self.data_set.data)
            self._lengths[key] = longest_within(plan, self.tuning.images)
        _check_length(self._lengths[key], self.tuning)
        return self._lengths[key]

    def _progress(self, number: int, show: Update) -> Callable[[str], None]:
        before, best = self.spent(but=number), best_trial(self.study)
        record = "" if best is None else f", best {best.value:.4f}"

        def progress(note: str) -> None:
            done = before + images_recorded(self.path_of(number))
            show(done, self.tuning.budget, f"trial {number}: {note}{record}")

        return progress

    def _announce(self, number: int, failure: str | None) -> None:
        trial, best = self.study.trials[number], best_trial(self.study)
        score = "" if trial.value is None else f" at {trial.value:.4f}"
        what = f"failed: {failure}" if failure else f"{STATES[trial.state]}{score}"
        record = "no whole one yet" if best is None else f"best {best.value:.4f} (trial {best.number})"
        left = self.tuning.budget - self.spent()
        stderr().print(
            f"trial {number}: {what}, {self.images_of(trial):,} images; {record}, {left:,} images left",
            markup=False,
        )


def _train_again_if_killed(follower: Follower) -> TrialState:
    """Train; go on once after something else killed the training, which may happen again."""
    try:
        return follower.train()
    except EndedError as error:
        if not error.killed:
            raise
        stderr().print(f"trial {follower.trial.number} was killed; going on with it", markup=False)
        return follower.train()


def _check_length(length: Length, tuning: Tuning) -> None:
    if length.images > tuning.images:
        raise ConfigError(
            f"{tuning.name}: a trial may see {tuning.images} images, and one epoch is {length.images}",
            hint="Raise images (--images), or train on fewer images with data.images.",
        )
