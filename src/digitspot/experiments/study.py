"""The study as Optuna keeps it: a database, which a killed search goes on from.

A trial that was begun when the search was killed stays the same trial and goes on from its checkpoint.
Optuna's `RetryFailedTrialCallback` would begin a second one instead. Successive halving would then count the
first validations twice, and later trials could end otherwise than in a search that was never killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from digitspot.config import config_from_dict, config_to_dict
from digitspot.errors import CheckpointError, ConfigError
from digitspot.experiments.overrides import Overrides, differences
from digitspot.experiments.search import Choices, Tuning

KEEP = 3
"""The best third goes on from a rung to the next, which has three times the validations: eta of successive
halving (Li et al. 2020, arXiv 1810.05934), who use 3 or 4."""
ASKED, DATA_SET, IMAGES = "asked", "images", "images_seen"


def open_study(path: Path, tuning: Tuning, data_set: str) -> optuna.Study:
    """Open the study, or begin it with the recipe's own settings as its first trial.

    Args:
        path: A database of SQLite, which a kill at any moment leaves whole.
        tuning: What is asked for now.
        data_set: Tells the data set from others.

    Raises:
        ConfigError: The study was begun with something else; the message names it.
        CheckpointError: The database cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        study = optuna.create_study(
            storage=RDBStorage(f"sqlite:///{path}"),
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(tuning),
        )
    except (SQLAlchemyError, RuntimeError, StorageInternalError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged: {reason}", hint="Choose another --output.") from error
    if ASKED in study.user_attrs:
        _check_same(study.user_attrs, tuning, data_set, path.parent)
        return study
    study.set_user_attr(DATA_SET, data_set)
    if tuning.own is not None and not study.trials:
        study.enqueue_trial(_stored(tuning, tuning.own))
    study.set_user_attr(ASKED, _asked(tuning))  # last: once it is there, all is
    return study


def begun_trial(study: optuna.Study, seed: int) -> optuna.Trial | None:
    """Return the trial to go on with: begun and not finished."""
    begun = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not begun:
        return None
    _seed_sampler(study, seed, begun[0].number)
    return optuna.Trial(study, begun[0]._trial_id)  # what Optuna's own `ask` returns of a new one


def next_trial(study: optuna.Study, seed: int) -> optuna.Trial:
    """Begin a trial."""
    _seed_sampler(study, seed, len(trials_of(study)))
    return study.ask()


def _seed_sampler(study: optuna.Study, seed: int, number: int) -> None:
    """Make what is suggested depend on the seed, the number of the trial and the trials before it alone."""
    study.sampler = TPESampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


def suggest(trial: optuna.Trial, tuning: Tuning) -> dict[str, Any]:
    """Return a trial's settings; those that were suggested before stay."""
    for name, space in tuning.search.items():
        if isinstance(space, Choices):
            trial.suggest_categorical(name, [json.dumps(value) for value in space.values])
        elif isinstance(space.low, int) and isinstance(space.high, int):
            trial.suggest_int(name, space.low, space.high, step=int(space.step or 1), log=space.log)
        else:
            trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)
    return values_of(tuning, trial.params)


def values_of(tuning: Tuning, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that stored parameters stand for."""
    return {
        name: json.loads(params[name]) if isinstance(space, Choices) else params[name]
        for name, space in tuning.search.items()
        if name in params
    }


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were begun."""
    return [each for each in study.get_trials(deepcopy=False) if each.state != TrialState.WAITING]


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the whole trial with the highest score, the first of equal ones; None if there is none."""
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(whole, key=lambda each: (each.value or 0.0, -each.number), default=None)


def _pruner(tuning: Tuning) -> BasePruner:
    if not tuning.prune_after:
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=tuning.prune_after, reduction_factor=KEEP)


def _stored(tuning: Tuning, values: Overrides) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(tuning.search[name], Choices) else value
        for name, value in values.items()
    }


def _asked(tuning: Tuning) -> dict[str, Any]:
    """Return what must not change while a study lasts; the budget may."""
    return {
        "recipe": config_to_dict(tuning.recipe),
        "search": {name: space.to_dict() for name, space in tuning.search.items()},
        "images": tuning.images,
        "prune_after": tuning.prune_after,
    }


def _check_same(stored: Mapping[str, Any], tuning: Tuning, data_set: str, output: Path) -> None:
    before, now = stored[ASKED], _asked(tuning)
    changed: dict[str, tuple[Any, Any]] = {
        name: (before[name], now[name]) for name in ("images", "prune_after") if before[name] != now[name]
    }
    changed |= differences(config_from_dict(before["recipe"], str(output)), tuning.recipe)
    for name in {**before["search"], **now["search"]}:
        spaces = before["search"].get(name), now["search"].get(name)
        if spaces[0] != spaces[1]:
            changed[f"search of {name}"] = spaces
    hint = "Choose another --output, or change it back."
    if changed:
        name, (first, second) = next(iter(changed.items()))
        raise ConfigError(
            f"{output} was begun with {name} {_said(first)}, and the file now says {_said(second)}", hint=hint
        )
    if stored[DATA_SET] != data_set:
        raise ConfigError(f"{output} was begun on other images or labels than these", hint=hint)


def _said(value: Any) -> str:
    return "nothing" if value is None else repr(value)
