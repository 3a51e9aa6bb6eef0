"""`digitspot tune`: hyperparameters within a budget of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.errors import ConfigError, DigitspotError
from digitspot.experiments.outcome import BEST, Outcome
from digitspot.experiments.runner import stopping_to_go_on
from digitspot.experiments.search import Tuning, read_tuning
from digitspot.experiments.study import open_study
from digitspot.experiments.trial import num_validations
from digitspot.experiments.tune import Trials, TuneData, open_data_set
from digitspot.experiments.words import counted
from digitspot.files import check_writable, claiming
from digitspot.progress import stderr

STUDY = "study.sqlite3"


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """Search settings of a recipe within a budget of images. Trials that lag end early; the best on `valid`
    becomes a recipe. Run the same command again to resume.

    digitspot tune nano --data DATA
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The tuning, a YAML file or a name of `digitspot recipes`: a recipe, what to search, images of a trial
    and of all."""
    data: Path
    """A data set in digitspot's layout; its test split is not opened."""
    output: Path | None = None
    """Folder of trials, tables and the best recipe; by default runs/tune- and the file's name."""
    images: int | None = None
    """The most images that a whole trial sees; by default the file's."""
    budget_images: int | None = None
    """The most images that all trials see together; by default the file's."""
    trials: int | None = None
    """The number of trials, instead of a budget in images."""


def run(arguments: list[str]) -> None:
    """Search, or go on with a search."""
    options = parse(TuneOptions, "tune", arguments)
    if options.trials is not None and options.budget_images is not None:
        raise ConfigError("--trials and --budget-images exclude each other", hint="Give one of them.")
    tuning = read_tuning(
        options.file, images=options.images, budget=options.budget_images, trials=options.trials
    )
    output = options.output or Path("runs") / f"tune-{tuning.name}"
    check_writable(output)
    data_set = open_data_set(tuning, options.data)
    _announce(tuning, data_set)
    with claiming(output / "lock") as mine:
        if not mine:
            raise ConfigError(f"another process is searching in {output}", hint="Choose another --output.")
        study = open_study(output / STUDY, tuning, data_set.key)
        trials = Trials(study, tuning, data_set, output / "trials", lambda: outcome.write())
        outcome = Outcome(trials, output)
        with stopping_to_go_on():
            trials.run()
        outcome.write()
    print_table(tuning.name, outcome.columns, outcome.rows())
    for line in outcome.sentences():
        print(line)
    if outcome.best is None:
        raise DigitspotError(
            f"{tuning.name}: no trial came to its end", hint="A larger budget begins further ones."
        )
    print(output / BEST)


def _announce(tuning: Tuning, data_set: TuneData) -> None:
    console, length = stderr(), data_set.length
    num = num_validations(tuning.configure({}, length.epochs))
    limit = counted(tuning.budget, "image") if tuning.trials is None else counted(tuning.trials, "trial")
    console.print(
        f"{tuning.name}: {counted(len(tuning.search), 'setting')}, {limit}; a whole trial is "
        f"{counted(length.epochs, 'epoch')}, {counted(length.images, 'image')}, "
        f"{counted(num, 'validation')} on {counted(data_set.num_valid, 'image')}",
        markup=False,
    )
    if tuning.own is None:
        console.print("the recipe's own settings are outside of what is searched, and not among the trials")
    if tuning.prune_after and num <= tuning.prune_after:
        console.print(
            f"no trial can be ended early with {counted(num, 'validation')}; "
            "train.validate_every_epochs says how many"
        )
