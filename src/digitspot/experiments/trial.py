"""One trial: a training in a process of its own, followed by its records, ended early if it lags."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import optuna
from optuna.trial import TrialState

from digitspot.config import Config
from digitspot.experiments.runner import LOOK_EVERY_SECONDS, StoppedError, Worker
from digitspot.experiments.trainings import Training
from digitspot.training.runlog import Run
from digitspot.training.state import stored_state
from digitspot.training.validation import selection_score

LAGS = "lags"
"""Kept with a trial that is to end, in case the search is killed before it ended."""


@dataclass(frozen=True)
class Follower:
    """Follows one training.

    Attributes:
        trial: Optuna's, which decides whether the training goes on.
        training: What is followed.
        progress: Called about once a second with a note for people.
    """

    trial: optuna.Trial
    training: Training
    progress: Callable[[str], None]

    @property
    def num_validations(self) -> int:
        """Validations of the whole training."""
        return num_validations(self.training.config)

    def train(self) -> TrialState:
        """Train to the end, or until the trial lags.

        Returns:
            COMPLETE or PRUNED.

        Raises:
            KeyboardInterrupt: On Ctrl-C, after the training was saved.
            DigitspotError: It failed.
        """
        if self.trial.user_attrs.get(LAGS):
            return TrialState.PRUNED
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            training = pool.submit(self.training.train, Worker(None, self.training.log, stop))
            try:
                while not wait([training], LOOK_EVERY_SECONDS).done:
                    if not stop.is_set() and self.lags():
                        self.trial.set_user_attr(LAGS, True)
                        stop.set()
            except BaseException:
                stop.set()
                raise
        try:
            training.result()
        except StoppedError:
            return TrialState.PRUNED
        self.lags()  # the last validations count for the trials to come
        return TrialState.COMPLETE

    def lags(self) -> bool:
        """Report new validations; return whether one before the last is too low to go on."""
        scores, told = self.scores(), self.trial.study.trials[self.trial.number].intermediate_values
        note = "training"
        if scores:
            note = f"{scores[-1]:.4f} at validation {len(scores)} of {self.num_validations}"
        self.progress(note)
        for step in range(len(told) + 1, len(scores) + 1):
            self.trial.report(scores[step - 1], step)
            if self.trial.should_prune() and step < self.num_validations:
                return True
        return False

    def scores(self) -> list[float]:
        """Return the best score so far at each validation: the score that selects the model."""
        figure = self.training.config.train.select_by
        valid = [record for record in Run(self.training.run).metrics() if record["kind"] == "valid"]
        return list(accumulate((selection_score(each, figure) for each in valid), max))


def num_validations(config: Config) -> int:
    """Return the validations of a whole training."""
    return -(-config.train.epochs // config.train.validate_every_epochs)


def images_seen(path: Path) -> int:
    """Return how many images a training has seen, with those after its last record."""
    last = Run(path).last
    return max(images_recorded(path), stored_state(last).images_seen if last.exists() else 0)


def images_recorded(path: Path) -> int:
    """Return how many images a training had seen at its last record."""
    return max((record["images_seen"] for record in Run(path).metrics()), default=0)
