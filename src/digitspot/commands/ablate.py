"""`digitspot ablate`: variants of a recipe, trained alike and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.errors import DataError, DigitspotError
from digitspot.experiments.ablate import (
    Model,
    Results,
    check_models,
    check_starts,
    devices_to_use,
    make_what_is_needed,
    plan_models,
    run_ablation,
    use_models,
)
from digitspot.experiments.ablation import Study, read_study
from digitspot.experiments.lengths import equal_lengths
from digitspot.experiments.runner import stopping_to_go_on
from digitspot.experiments.table import for_terminal, summarise, to_dict, to_markdown
from digitspot.files import check_writable, writing_whole
from digitspot.labels.coco import find_split
from digitspot.progress import stderr

TABLE, DOCUMENT = "table.md", "ablation.json"


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """Train variants of a recipe with several seeds, and score them on images that nothing was tuned on.
    The table says which differences are larger than random variation. Run the same command again to resume.

    digitspot ablate dropout --data DATA
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The ablation, a YAML file or a name of `digitspot recipes`: a recipe, variants as overrides, seeds."""
    data: Path
    """A data set in digitspot's layout, with labels of the split that is scored."""
    output: Path | None = None
    """Folder of trainings, answers and the table; by default runs/ and the file's name."""
    variants: tuple[str, ...] = ()
    """Only these variants; the first of them in the file is the baseline. By default all."""
    images: int | None = None
    """Images that each training sees, to the nearest whole epoch; by default the file's."""
    seeds: tuple[int, ...] = ()
    """By default the file's."""
    models: tuple[Path, ...] = ()
    """Runs or checkpoints instead of trainings, if the variants only use a model differently."""
    devices: tuple[str, ...] = ()
    """CUDA devices such as 0 1, one training at a time on each; by default all."""


def run(arguments: list[str]) -> None:
    """Run an ablation, or go on with it."""
    options = parse(AblateOptions, "ablate", arguments)
    study = read_study(options.file, options.images, options.seeds)
    if options.variants:
        study = study.only(options.variants)
    if not find_split(options.data, study.split).has_labels:
        raise DataError(f"{options.data} has no labels of {study.split}", hint="Name another split.")
    output = options.output or Path("runs") / study.name
    check_writable(output)
    devices = devices_to_use(options.devices, study)
    stderr().print(f"{study.name}: {study.question}", markup=False)
    if options.models:
        check_models(options.models, study)
        models = use_models(study, options.models, options.data, output)
    else:
        models = _plan(study, options.data, output)
    with stopping_to_go_on():
        results, failures = run_ablation(models, devices)
    _write(study, results, failures, ["digitspot", "ablate", *arguments], output)
    if failures:
        raise DigitspotError(
            f"{len(failures)} failed: {'; '.join(failures)}", hint="The same command tries them again."
        )


def _plan(study: Study, data: Path, output: Path) -> list[Model]:
    """Make what trainings need, and plan them with equal lengths."""
    make_what_is_needed(study, output)
    check_starts(study)
    lengths = equal_lengths(study, data)
    for name, length in lengths.items():
        stderr().print(f"  {name}: {length.epochs} epochs, {length.images} images seen", markup=False)
    return plan_models(study, lengths, data, output)


def _write(study: Study, results: Results, failures: list[str], command: list[str], output: Path) -> None:
    """Write the tables, and print them."""
    document = to_dict(study, summarise(study, results), failures, command)
    with writing_whole(output / TABLE) as file:
        file.write(to_markdown(document))
    with writing_whole(output / DOCUMENT) as file:
        json.dump(document, file, indent=1)
    print_table(f"{study.name}, means over seeds on {study.split}", **for_terminal(document["figures"]))
    print_table(f"Less {study.baseline.name!r}, in points", **for_terminal(document["differences"]))
    print(output / TABLE)
