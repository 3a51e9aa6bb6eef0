"""`digitspot ablate`: variants of a recipe, trained alike and compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.ablate.lengths import equal_lengths
from digitspot.ablate.running import (
    check_models,
    check_starts,
    devices_to_use,
    make_what_is_needed,
    plan_trainings,
    run_trainings,
)
from digitspot.ablate.study import read_study
from digitspot.ablate.table import for_terminal, summarise, to_dict, to_markdown
from digitspot.commands.options import parse, print_table
from digitspot.errors import DataError, DigitspotError
from digitspot.experiments.process import stopping_to_go_on
from digitspot.files import check_writable, writing_whole
from digitspot.labels.coco import find_split
from digitspot.progress import stderr

TABLE, DOCUMENT = "table.md", "ablation.json"


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """Train variants of a recipe with several seeds, score them on images that nothing was tuned on, and
    say which differences are more than chance. What is done is not done again; the same command goes on.

    digitspot ablate recipes/ablations/dropout.yaml --data DIR
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The ablation (YAML): a recipe, variants as overrides, seeds."""
    data: Path
    """A data set in the homework's layout, with labels of the split that is scored."""
    output: Path | None = None
    """Trainings, answers and the table go here; none is runs/ and the file's name."""
    variants: tuple[str, ...] = ()
    """Only these of the file's; the first of them there is the baseline. None is all."""
    images: int | None = None
    """Images that each training sees, to the nearest whole epoch, in the place of the file's."""
    seeds: tuple[int, ...] = ()
    """In the place of the file's."""
    models: tuple[Path, ...] = ()
    """Runs or checkpoints in the place of trainings, where the variants only use a model differently."""
    devices: tuple[str, ...] = ()
    """CUDA devices, one training at a time on each, such as 0 1; none takes all there are."""


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
    check_models(options.models, study)
    if not options.models:
        make_what_is_needed(study, output)
        check_starts(study)
    lengths = {} if options.models else equal_lengths(study, options.data)
    trainings = plan_trainings(study, lengths, output, options.models)
    stderr().print(f"{study.name}: {study.question}", markup=False)
    for name, length in lengths.items():
        stderr().print(f"  {name}: {length.epochs} epochs, {length.images} images seen", markup=False)
    devices = devices_to_use(options.devices, study)
    with stopping_to_go_on():
        results, failures = run_trainings(trainings, options.data, study.split, devices)
    command = ["digitspot", "ablate", *arguments]
    document = to_dict(study, summarise(study, results), failures, command)
    with writing_whole(output / TABLE) as file:
        file.write(to_markdown(document))
    with writing_whole(output / DOCUMENT) as file:
        json.dump(document, file, indent=1)
    print_table(f"{study.name}, means over seeds on {study.split}", **for_terminal(document["figures"]))
    print_table(f"Less {study.baseline.name!r}, in points", **for_terminal(document["differences"]))
    print(output / TABLE)
    if failures:
        raise DigitspotError(
            f"{len(failures)} failed: {'; '.join(failures)}", hint="The same command tries them again."
        )
