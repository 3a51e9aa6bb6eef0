"""One trial: a training in a process of its own, followed by its records, ended early where it lags."""

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
from digitspot.experiments.process import LOOK_EVERY_SECONDS, StoppedError, run_followed
from digitspot.experiments.trainings import begin_or_resume
from digitspot.training.runlog import Run
from digitspot.training.state import stored_state
from digitspot.training.validation import selection_score

LAGS = "lags"
"""Kept with a trial that shall end, in case it is not ended by then."""


@dataclass(frozen=True)
class Follower:
    """Follows one training.

    Attributes:
        trial: What is told of it, and who says whether it shall end.
        config: What is trained.
        path: The run folder.
        progress: Told how it goes, in words, about once a second.
    """

    trial: optuna.Trial
    config: Config
    path: Path
    progress: Callable[[str], None]

    @property
    def num_validations(self) -> int:
        """Validations of the whole training."""
        return num_validations(self.config)

    def train(self, data: Path) -> TrialState:
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
        arguments = begin_or_resume(self.path, self.config, data)
        log = self.path.with_name(f"{self.path.name}.log")
        with ThreadPoolExecutor(1) as pool:
            training = pool.submit(run_followed, arguments, stop, device=None, log=log)
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
        """Tell of new validations; return whether one of them, but for the last, is too low to go on."""
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
        """Return, for each validation so far, the best score until then, by which the model is selected."""
        figure = self.config.train.select_by
        valid = [record for record in Run(self.path).metrics() if record["kind"] == "valid"]
        return list(accumulate((selection_score(each, figure) for each in valid), max))


def num_validations(config: Config) -> int:
    """Return the validations of a whole training."""
    return -(-config.train.epochs // config.train.validate_every_epochs)


def images_seen(path: Path) -> int:
    """Return the images that the training in a folder has seen, with those since its last record."""
    last = Run(path).last
    return max(images_recorded(path), stored_state(last).images_seen if last.exists() else 0)


def images_recorded(path: Path) -> int:
    """Return the images that the training in a folder had seen at its last record."""
    return max((record["images_seen"] for record in Run(path).metrics()), default=0)
