"""`digitspot evaluate`: score answers against labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from digitspot.answers import READINGS, RESULTS, Answers, read_answers
from digitspot.calibrate import read_settings
from digitspot.commands.options import parse, print_json, print_table
from digitspot.dataset.seen import unseen
from digitspot.errors import ConfigError, DataError
from digitspot.evaluation.answers import Scores, evaluate_answers
from digitspot.evaluation.reliability import ReliabilityMetrics
from digitspot.files import read_json, writing_whole
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet
from digitspot.progress import stderr, working
from digitspot.reading import ReadingSettings


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """COCO's twelve figures, AP of each digit, how many numbers are exactly right, and how far their
    probabilities can be trusted, with intervals.

    digitspot evaluate answers --labels DATA/test.json
    digitspot evaluate answers --labels DATA/test.json --mistakes 9
    """

    answers: Annotated[Path, tyro.conf.Positional]
    """A folder with pred.json, pred.csv and readings.csv, or one COCO results file."""
    labels: Path
    """The true labels, COCO detection format."""
    numbers: Path | None = None
    """pred.csv, where it is not beside pred.json; without any, numbers are read from the boxes."""
    readings: Path | None = None
    """readings.csv, where it is not beside pred.json: numbers with probabilities."""
    reader: Path | None = None
    """How to read numbers from boxes: what `digitspot calibrate` wrote for other results of the detector."""
    image_ids: Path | None = None
    """A JSON list of image ids: only these are compared."""
    only_unseen: bool = False
    """Leave out images that the model was trained on, such as those of a merged `valid`; else they are
    refused. trained-on.txt beside the answers names them."""
    resamples: int = 1000
    """Bootstrap resamples over images for the intervals; 0 does without."""
    level: float = 0.95
    """Level of the intervals."""
    mistakes: int = 0
    """Also print up to this many wrong numbers of each kind, the surest first."""
    diagram: Path | None = None
    """Draw probability against accuracy, and accuracy against coverage, into this .svg or .png file."""
    json: bool = False
    """Print JSON instead of a table."""
    save: Path | None = None
    """Also write the JSON to this file."""


def run(arguments: list[str]) -> None:
    """Evaluate."""
    options = parse(EvaluateOptions, "evaluate", arguments)
    labels = read_labels(options.labels, clip=False)
    answers = _read_answers(options, labels)
    image_ids = _image_ids(options.image_ids) if options.image_ids else None
    compared = unseen(answers.seen, labels, image_ids, options.only_unseen)
    with working("scoring"):
        scores = evaluate_answers(
            labels, answers, image_ids=compared, num_resamples=options.resamples, level=options.level
        )
    if options.save:
        with writing_whole(options.save) as file:
            json.dump(scores.to_dict(), file, indent=1)
    if options.diagram:
        if scores.reliability is None:
            raise ConfigError(
                f"--diagram {options.diagram}: the answers have no probabilities",
                hint=f"`digitspot predict` writes {READINGS} beside {RESULTS}.",
            )
        _draw(scores.reliability, options.diagram)
    if scores.likely_cause:
        stderr().print(scores.likely_cause, markup=False)
    if options.json:
        print_json(scores.to_dict())
    else:
        print_scores(scores)
        if options.mistakes:
            columns = ("mistake", "image", "true", "read", "probability")
            print_table("Wrong numbers", columns, scores.mistake_rows(options.mistakes))


def print_scores(scores: Scores) -> None:
    """Print the tables of boxes and of numbers."""
    num_images = scores.numbers.num_images
    print_table(f"Boxes of {num_images} images", ("figure", "value"), scores.box_rows())
    print_table(f"Numbers of {num_images} images", ("figure", "value"), scores.number_rows())
    if scores.groups:
        columns = ("numbers", "images", "mean probability", "right", "95 %")
        print_table("Groups of images, which overlap", columns, scores.group_rows())


def _draw(metrics: ReliabilityMetrics, path: Path) -> None:
    from digitspot.plots import kind_of, reliability_plot, save  # matplotlib takes half a second to load

    kind = kind_of(path)
    bins = [(each.probability, each.accuracy) for each in metrics.bins]
    figure = reliability_plot(bins, metrics.curve, f"calibration error {metrics.calibration_error:.3f}")
    with writing_whole(path, "wb") as file:
        save(figure, file, kind)


def _read_answers(options: EvaluateOptions, labels: LabelSet) -> Answers:
    """Read the answers; --reader reads the numbers anew, unless a file of them is named."""
    settings = read_settings(options.reader) if options.reader else None
    answers = read_answers(
        options.answers, labels, numbers=options.numbers, readings=options.readings, settings=settings
    )
    if answers.from_boxes:
        stderr().print(f"numbers are read from the boxes: {settings or ReadingSettings()}")
    return answers


def _image_ids(path: Path) -> list[int]:
    document: Any = read_json(path)
    if not isinstance(document, list) or not all(type(item) is int for item in document):
        raise DataError(f"{path} is not a JSON list of image ids")
    return document
