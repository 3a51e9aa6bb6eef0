"""What a search found: a table, the best settings as a recipe, and how certain they are."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from digitspot.config import config_to_yaml, load_recipe
from digitspot.experiments.overrides import setting
from digitspot.experiments.study import best_trial, trials_of, values_of
from digitspot.experiments.tune import Trials
from digitspot.experiments.words import STATES, counted, said, shortly
from digitspot.files import writing_whole

TABLE, DOCUMENT, BEST, CONFIRM = "table.md", "tune.json", "best.yaml", "confirm.yaml"
FIGURES = {"accuracy": "accuracy", "map": "mAP"}
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Outcome:
    """What a search found so far.

    Attributes:
        trials: All that were begun.
        output: Where it is written.
    """

    trials: Trials
    output: Path

    @property
    def best(self) -> FrozenTrial | None:
        """The whole trial with the highest score."""
        return best_trial(self.trials.study)

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of a table that a terminal has room for."""
        return ("trial", FIGURES[self._select_by], "images seen", "state", "settings")

    def rows(self) -> list[tuple[str, ...]]:
        """Return what `columns` name, of each trial."""
        return [(*self._figures(each), said(self._values(each), briefly=True)) for each in self._begun()]

    def write(self) -> None:
        """Write the tables, and the best settings once a trial came to its end."""
        with writing_whole(self.output / TABLE) as file:
            file.write(self.to_markdown())
        with writing_whole(self.output / DOCUMENT) as file:
            json.dump(self.to_dict(), file, indent=1)
        if self.best is None:
            return
        comment = "".join(f"# {line}\n" for line in self.sentences())
        path = self.trials.path_of(self.best.number)
        recipe = load_recipe(path.with_name(f"{path.name}.yaml"))
        with writing_whole(self.output / BEST) as file:
            file.write(comment + config_to_yaml(recipe))
        if self._is_own(self.best):
            (self.output / CONFIRM).unlink(missing_ok=True)
            return
        with writing_whole(self.output / CONFIRM) as file:
            yaml.safe_dump(self._confirmation(self.best), file, sort_keys=False)

    def sentences(self) -> list[str]:
        """Return what came out, and what it is worth."""
        best = self.best
        if best is None:
            return [f"No trial came to its end: {self._counts()}."]
        figure, data = FIGURES[self._select_by], self.trials.data_set.data
        score = f"{figure} {best.value:.4f} on valid (mean of as it is and zoomed out)"
        lines = [
            f"Best of {self._counts()}: trial {best.number}, {score}.",
            f"Its settings: {said(self._values(best))}.",
        ]
        for own in filter(self._is_own, self._whole()):
            lines.append(f"The recipe's own settings, trial {own.number}: {own.value:.4f}.")
        lines.append(
            "The best of many, chosen on valid, looks better than it is: part of that is luck with these "
            "images and this seed."
        )
        if self._select_by == "accuracy" and len(self._whole()) > 1:
            lines.append(self._chance(best))
        if self._is_own(best):
            return [*lines, "No trial came out better than the recipe's own settings."]
        ablate = f"digitspot ablate {self.output / CONFIRM} --data {data}"
        return [*lines, f"Whether it is better, on test and with other seeds: {ablate}"]

    def to_markdown(self) -> str:
        """Return the table, the best trial marked, with what it is worth."""
        search = self.trials.tuning.search
        columns = (*self.columns[:-1], *search)
        rows = [
            (*self._figures(each), *(shortly(self._values(each).get(name, "-")) for name in search))
            for each in self._begun()
        ]
        lines = [columns, ["---"] * len(columns), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"# {self.trials.tuning.name}\n\n{table}\n\n" + "\n\n".join(self.sentences()) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        tuning, best = self.trials.tuning, self.best
        return {
            "name": tuning.name,
            "select_by": self._select_by,
            "num_valid": self.trials.data_set.num_valid,
            "images": tuning.images,
            "budget_images": tuning.budget,
            "images_seen": self.trials.spent(),
            "search": {name: space.to_dict() for name, space in tuning.search.items()},
            "best": None if best is None else best.number,
            "trials": [
                {
                    "number": each.number,
                    "state": STATES[each.state],
                    "value": each.value,
                    "validations": list(each.intermediate_values.values()),
                    "images_seen": self.trials.images_of(each),
                    "settings": self._values(each),
                }
                for each in self._begun()
            ],
        }

    @property
    def _select_by(self) -> str:
        return self.trials.tuning.recipe.train.select_by

    def _figures(self, trial: FrozenTrial) -> tuple[str, ...]:
        best = self.best
        is_best = best is not None and trial.number == best.number
        return (
            str(trial.number),
            "-" if trial.value is None else f"{trial.value:.4f}",
            f"{self.trials.images_of(trial):,}",
            "best" if is_best else STATES[trial.state],
        )

    def _counts(self) -> str:
        states = Counter(STATES[each.state] for each in self._begun())
        each = ", ".join(f"{num} {state}" for state, num in states.items())
        return counted(states.total(), "trial") + (f" ({each})" if states else "")

    def _chance(self, best: FrozenTrial) -> str:
        """Say how far chance in the images moves one accuracy, by the binomial distribution."""
        num, value = self.trials.data_set.num_valid, best.value or 0.0
        margin = NORMAL_95 * math.sqrt(value * (1 - value) / num)
        chance = f"{num} other images would move one accuracy by about {margin:.3f} to either side (95 %)"
        whole = self._whole()
        near = sum((each.value or 0.0) >= value - margin for each in whole) - 1
        return f"{chance}; within that of the best: {near} of {counted(len(whole) - 1, 'other whole trial')}."

    def _begun(self) -> list[FrozenTrial]:
        return trials_of(self.trials.study)

    def _whole(self) -> list[FrozenTrial]:
        return [each for each in self._begun() if each.state == TrialState.COMPLETE]

    def _is_own(self, trial: FrozenTrial) -> bool:
        """Return whether a trial is of the recipe's own settings."""
        return json.dumps(self._values(trial)) == json.dumps(self.trials.tuning.own)

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        return values_of(self.trials.tuning, trial.params)

    def _confirmation(self, best: FrozenTrial) -> dict[str, Any]:
        """Return an ablation of the recipe's own settings and the best ones."""
        tuning = self.trials.tuning
        recipe = {name: setting(tuning.recipe, name) for name in tuning.search}
        return {
            "question": f"Are the settings that tuning {tuning.name} chose better than the recipe's?",
            "recipe": BEST,
            "images": self.trials.images_of(best),
            "variants": {"recipe": json.loads(json.dumps(recipe)), "tuned": {}},
        }
