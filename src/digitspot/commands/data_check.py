"""`digitspot data check`: everything that is wrong or odd, and which labels to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_json, print_list, print_table
from digitspot.config import Config, load_recipe
from digitspot.errors import ConfigError, DataError
from digitspot.evaluation.suspicions import Suspect, Suspicion, find_suspects, suspect_rows, write_suspects
from digitspot.files import check_writable, writing_whole
from digitspot.labels.check import CheckReport, Row, check_data
from digitspot.labels.coco import Split, find_split, read_labels
from digitspot.labels.labels import LabelSet
from digitspot.labels.results import read_results
from digitspot.labels.rules import Finding
from digitspot.overlays import sheet_paths
from digitspot.preview import suspect_sheets
from digitspot.progress import tracking
from digitspot.types import Detections

MAX_LINES = 8
"""Findings of one kind that are shown."""
MAX_SUSPECTS = 20
"""Images that the table shows."""
LIST, SHEET = "suspects.csv", "suspects.png"
SHEET_COLUMNS = 4


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """List everything that is wrong or odd in labels and images; exits 3 when training could not run.

    With a recipe, or with predictions that are there already, images are ranked by how probable it is that
    their labels are wrong: suspects.csv, and suspects.png to look at.

    digitspot data check DATA
    digitspot data check DATA --recipe nano --output doubts
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in digitspot's layout, or one label file."""
    json: bool = False
    """Print JSON instead of a table."""
    recipe: Path | None = None
    """Train on a part of `train`, predict the rest, and the other way round; goes on where it was cut off."""
    folds: int = 2
    """--recipe: parts; each is predicted by a model that was trained on the others."""
    epochs: int | None = None
    """--recipe: takes the place of the recipe's."""
    weights: str | None = None
    """--recipe: where each model starts, in the recipe's place; none that were trained on these images."""
    predictions: Path | None = None
    """COCO results (pred.json), down to low scores, of a model that was not trained on these images: those
    of the label file given, or of `train`."""
    output: Path | None = None
    """--recipe, --predictions: folder for the list, the sheet, and what is trained."""
    sheet: int = 48
    """Images on the sheets."""


def run(arguments: list[str]) -> None:
    """Check a data set."""
    options = parse(CheckOptions, "data check", arguments)
    output = _checked_output(options)
    with tracking("checking") as show:
        report = check_data(options.path, progress=show)
    if not options.json:
        _print_report(report)
    suspects = _rank(options, output) if output is not None and report.can_train else []
    if options.json:
        print_json({**report.to_dict(), "suspicions": suspect_rows(suspects)})
    elif suspects and output is not None:
        _print_suspects(suspects)
        print(output)
    if not report.can_train:
        errors = sum(row.count for row in report.rows() if row.severity == "error")
        counted = "1 error" if errors == 1 else f"{errors} errors"
        raise DataError(f"{options.path}: training could not run, {counted}", hint="See the findings above.")


def _checked_output(options: CheckOptions) -> Path | None:
    """Return where the ranking goes, None where none is asked for."""
    if options.recipe is not None and options.predictions is not None:
        raise ConfigError("--recipe and --predictions", hint="Give the one or the other.")
    ranks = options.recipe is not None or options.predictions is not None
    if ranks != (options.output is not None):
        raise ConfigError(
            "--output is missing" if ranks else "--output without --recipe or --predictions",
            hint="digitspot data check DATA --recipe RECIPE --output FOLDER",
        )
    if options.recipe is None and (options.epochs is not None or options.weights is not None):
        raise ConfigError("--epochs and --weights change a recipe: --recipe is missing")
    if options.sheet < 1:
        raise ConfigError(f"--sheet {options.sheet}: must be 1 or more")
    if options.recipe is not None and not options.path.is_dir():
        raise ConfigError(f"{options.path}: --recipe needs a data set with `train` and `valid`")
    if options.output is not None:
        check_writable(options.output)
    return options.output


def _rank(options: CheckOptions, output: Path) -> list[Suspect]:
    """Rank the images, and write the list and the sheet."""
    split = _split(options.path)
    labels = read_labels(split.labels_path)
    suspects = find_suspects(labels.images, _predictions(options, labels, output))
    write_suspects(output / LIST, suspects)
    if split.images_dir.is_dir():
        with tracking("drawing") as show:
            sheets = suspect_sheets(suspects[: options.sheet], split.images_dir, SHEET_COLUMNS, show)
        for sheet, path in zip(sheets, sheet_paths(output / SHEET, len(sheets)), strict=True):
            with writing_whole(path, "wb") as file:
                sheet.save(file, "PNG")
    return suspects


def _split(path: Path) -> Split:
    if path.is_dir():
        return find_split(path, "train")
    return Split(labels_path=path, images_dir=path.with_suffix(""))


def _predictions(options: CheckOptions, labels: LabelSet, output: Path) -> dict[int, Detections]:
    if options.predictions is not None:
        return read_results(options.predictions, labels)
    from digitspot.folds import predict_out_of_fold  # needs torch

    return predict_out_of_fold(options.path, _recipe(options), options.folds, output)


def _recipe(options: CheckOptions) -> Config:
    assert options.recipe is not None
    config = load_recipe(options.recipe)
    if options.epochs is not None:
        config = replace(config, train=replace(config.train, epochs=options.epochs))
    if options.weights is not None:
        config = replace(config, model=replace(config.model, weights=options.weights))
    return config


def _print_report(report: CheckReport) -> None:
    rows = [
        (split.name, str(split.images), str(split.boxes), str(split.files), split.categories or "-")
        for split in report.splits
    ]
    print_table(str(report.path), ("split", "images", "boxes", "files", "digit=category_id"), rows)
    findings = [_listed(report, row) for row in report.rows()]
    if findings:
        print_list("findings", findings)
    else:
        print("no findings")


def _listed(report: CheckReport, row: Row) -> tuple[str, list[str]]:
    """Return the findings of one kind under a head; of a kind with many, the first ones."""
    found = [
        _shown(finding, report.path)
        for split in report.splits
        for finding in split.findings
        if (split.name, finding.severity, finding.kind) == (row.split, row.severity, row.kind)
    ]
    lines = found[:MAX_LINES]
    if len(found) > MAX_LINES:
        lines.append(f"... and {len(found) - MAX_LINES} more: --json lists all")
    return f"{row.severity} in {row.split}: {row.kind} ({row.count})", lines


def _shown(finding: Finding, data: Path) -> str:
    """Return a finding as text; files inside the data set are named from its folder."""
    where = Path(finding.where)
    if data.is_dir() and where != data and where.is_relative_to(data):
        return f"{where.relative_to(data)}: {finding.message}"
    return str(finding)


def _print_suspects(suspects: Sequence[Suspect]) -> None:
    rows = [
        (
            str(rank),
            suspect.image.file_name,
            f"{suspect.probability:.3f}",
            suspect.image.number or "none",
            "; ".join(map(_told, suspect.suspicions)),
        )
        for rank, suspect in enumerate(suspects[:MAX_SUSPECTS], 1)
    ]
    expected = sum(suspect.probability for suspect in suspects)
    title = f"images to look at first; by these probabilities about {expected:.0f} have a fault"
    print_table(title, ("rank", "image", "probability", "labelled", "what"), rows)


def _told(suspicion: Suspicion) -> str:
    digits = f"{suspicion.labelled or ''} > {suspicion.predicted or ''}".strip(" >")
    return f"{suspicion.kind} ({digits}) {suspicion.probability:.2f}"
