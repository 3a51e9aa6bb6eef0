"""What a report is about: runs with their records and answers, or an ablation with those of its variants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digitspot.answers import NUMBERS, RESULTS
from digitspot.errors import ConfigError, DataError
from digitspot.files import read_json
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet
from digitspot.labels.results import read_numbers
from digitspot.report.answers import ScoredAnswers, score_answers
from digitspot.training.runlog import ENVIRONMENT, METRICS, Run

ANSWERS = "answers"
"""A run's answers are looked for in this folder of it."""
ABLATION = "ablation.json"


@dataclass(frozen=True, eq=False)
class Source:
    """One run, or one folder of answers.

    Attributes:
        name: Shown everywhere.
        path: Its folder.
        metrics: The training's records, in order; none where it is no run.
        config: Its settings as YAML; "" where there are none.
        environment: What it ran on.
        answers: None where there are none, or no labels to compare with.
    """

    name: str
    path: Path
    metrics: Sequence[Mapping[str, Any]] = ()
    config: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    answers: ScoredAnswers | None = None

    def records(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the training's records of a kind."""
        return [record for record in self.metrics if record["kind"] == kind]


Scored = tuple[int, Source, ScoredAnswers]
"""A source with the index of its colour, and its answers."""


@dataclass(frozen=True)
class Subject:
    """Everything that one report is about.

    Attributes:
        title: Of the page.
        sources: Runs side by side.
        ablation: What `digitspot ablate` found; None for runs.
    """

    title: str
    sources: Sequence[Source]
    ablation: Mapping[str, Any] | None = None

    @property
    def scored(self) -> list[Scored]:
        """Return the sources that have answers."""
        return [(i, each, each.answers) for i, each in enumerate(self.sources) if each.answers is not None]


def read_subject(
    paths: Sequence[Path], answers: Sequence[Path], labels_path: Path | None, num_resamples: int
) -> Subject:
    """Read what to report on.

    Args:
        paths: Run folders, folders of answers, or one folder of an ablation.
        answers: Of each path, in its order; none looks for `answers` in each run.
        labels_path: The truth; None leaves scores out.
        num_resamples: Bootstrap resamples over images.

    Raises:
        ConfigError: What is given would not be used.
        DataError: There is nothing to report on, or answers and labels cannot be used.
    """
    of_ablation = len(paths) == 1 and (paths[0] / ABLATION).exists()
    if answers:
        _check_answers(paths, answers, labels_path, of_ablation)
    labels = None if labels_path is None else read_labels(labels_path, clip=False)
    if of_ablation:
        subject = _read_ablation(paths[0], labels, num_resamples)
    else:
        folders = answers or [path if _holds_answers(path) else path / ANSWERS for path in paths]
        names = _names(paths)
        sources = [
            _read_source(name, path, folder, labels, num_resamples)
            for name, path, folder in zip(names, paths, folders, strict=True)
        ]
        subject = Subject(" and ".join(names) if len(names) < 4 else f"{len(names)} runs", sources)
    if labels is not None and not any(source.answers for source in subject.sources):
        raise ConfigError(
            f"--labels {labels_path}: {' and '.join(map(str, paths))} without answers to compare them with",
            hint="`digitspot predict` writes answers, and --answers names their folder; without --labels, "
            "the page shows the training alone.",
        )
    return subject


def _check_answers(
    paths: Sequence[Path], answers: Sequence[Path], labels_path: Path | None, of_ablation: bool
) -> None:
    """See that the folders of answers that are named will be used."""
    named = f"--answers {' '.join(map(str, answers))}"
    if of_ablation:
        raise ConfigError(
            f"{named}: {paths[0]} is an ablation, which has its own", hint="Leave --answers out."
        )
    if labels_path is None:
        raise ConfigError(f"{named} without labels to compare with", hint="--labels names the truth.")
    if len(answers) != len(paths):
        raise ConfigError(
            f"{named}: {len(answers)} for {len(paths)} runs", hint="Give one for each, in order."
        )
    for path, folder in zip(paths, answers, strict=True):
        if not (folder / RESULTS).exists():
            raise DataError(f"--answers {folder} holds no {RESULTS}", hint="`digitspot predict` writes one.")
        if _holds_answers(path) and not folder.samefile(path):
            raise ConfigError(
                f"--answers {folder}: {path} is a folder of answers itself",
                hint="Give its run, or one of them.",
            )


def _holds_answers(path: Path) -> bool:
    """Return whether a folder is one of answers, and not a run."""
    return (path / RESULTS).exists() and not (path / METRICS).exists()


def _read_ablation(path: Path, labels: LabelSet | None, num_resamples: int) -> Subject:
    """Read the first seed of each variant, and what was found."""
    document = read_json(path / ABLATION)
    sources = []
    for variant in document["variants"]:
        seed = next(iter(variant["seeds"]))
        run = path / "trainings" / f"{variant['trained_as']}-{seed}"
        folder = path / ANSWERS / f"{variant['name']}-{seed}"
        if labels is not None:
            _check_answered(folder, labels, document["split"])
        sources.append(_read_source(variant["name"], run, folder, labels, num_resamples, missing=True))
    return Subject(f"Ablation: {document['name']}", sources, document)


def _check_answered(folder: Path, labels: LabelSet, split: str) -> None:
    """See that an ablation's answers are of all images of the labels, and of no others."""
    if not (folder / NUMBERS).exists():
        return
    answered = set(read_numbers(folder / NUMBERS))
    wanted = {str(image.image_id) for image in labels.images}
    if odd := sorted(answered ^ wanted, key=lambda each: (len(each), each)):
        where = "is not answered" if odd[0] in wanted else "is not in the labels"
        raise DataError(
            f"{labels.path} has {len(wanted):,} images, {folder} answers {len(answered):,}: "
            f"image {odd[0]} {where}",
            hint=f"The ablation answered its split {split!r}: --labels names that file.",
        )


def _read_source(
    name: str,
    path: Path,
    folder: Path,
    labels: LabelSet | None,
    num_resamples: int,
    missing: bool = False,
) -> Source:
    run, config, environment = Run(path), path / "config.yaml", path / ENVIRONMENT
    found = (folder / RESULTS).exists()
    if not (found or missing or run.started):
        raise DataError(
            f"{path} holds neither a training nor answers",
            hint="`digitspot train` and `digitspot predict` do.",
        )
    return Source(
        name=name,
        path=path,
        metrics=run.metrics(),
        config=config.read_text(encoding="utf-8") if config.exists() else "",
        environment=json.loads(environment.read_text(encoding="utf-8")) if environment.exists() else {},
        answers=score_answers(folder, labels, num_resamples) if found and labels is not None else None,
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, with those above where two are the same."""
    names = [path.resolve().name for path in paths]
    return [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
