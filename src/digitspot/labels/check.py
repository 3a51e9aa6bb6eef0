"""Everything that is wrong with a data set, found in one go: in the label files and in the images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.errors import DataError
from digitspot.images import IMAGE_SUFFIXES, decode_image, list_images
from digitspot.labels.check_labels import label_findings, scale_findings
from digitspot.labels.check_repeats import SeenImage, repeat_findings
from digitspot.labels.coco import Split, find_split, labels_path_of, read_json
from digitspot.labels.labels import LabelSet
from digitspot.labels.repeats import Fingerprint, fingerprint
from digitspot.labels.rules import Finding, Findings, Severity, size_problem
from digitspot.labels.scan import clip_labels, scan_labels
from digitspot.progress import tracking

Progress = Callable[[int, int], None]
"""Called in the caller's thread with the images done and their total, over all splits."""

_File = tuple[Path, tuple[int, int] | None]
"""A file, and the size that the labels give it."""

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """What was found in one split.

    Attributes:
        name: "train", or the name of a lone label file without ".json".
        images: Those that the label file lists and that can be used.
        boxes: Likewise, after clipping.
        images: Files in the folder.
        categories: The map, "0=1 1=2 ..."; None without labels.
        findings: In the order they were met.
    """

    name: str
    images: int
    boxes: int
    files: int
    categories: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Row:
    """One line of the printed table: findings of one kind in one split.

    Attributes:
        split: Its name.
        severity: "error" or "warning".
        kind: What they have in common.
        count: How many.
        example: The first of them.
    """

    split: str
    severity: Severity
    kind: str
    count: int
    example: str


@dataclass(frozen=True)
class CheckReport:
    """What `check_data` found.

    Attributes:
        path: The folder or label file.
        splits: What was looked at.
    """

    path: Path
    splits: tuple[SplitCheck, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of every split."""
        return tuple(finding for split in self.splits for finding in split.findings)

    @property
    def can_train(self) -> bool:
        """Whether nothing that training reads is wrong; a folder's test split is not read by it."""
        used = [split for split in self.splits if split.name != "test" or len(self.splits) == 1]
        return not any(finding.severity == "error" for split in used for finding in split.findings)

    def rows(self) -> list[Row]:
        """Return the findings counted by split and kind, errors first."""
        groups: dict[tuple[str, Severity, str], list[Finding]] = {}
        for split in self.splits:
            for finding in split.findings:
                groups.setdefault((split.name, finding.severity, finding.kind), []).append(finding)
        rows = [Row(*key, len(found), str(found[0])) for key, found in groups.items()]
        return sorted(rows, key=lambda row: row.severity)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "path": str(self.path),
            "can_train": self.can_train,
            "rows": [asdict(row) for row in self.rows()],
            "splits": [asdict(split) for split in self.splits],
        }


def check_data(path: Path, *, progress: Progress | None = None, workers: int | None = None) -> CheckReport:
    """Check a data folder in the homework's layout, or one label file and the folder beside it.

    Args:
        path: A folder with `train.json` and `train/` and so on, or a label file `NAME.json`; its
            images are looked for in `NAME/`, and left unchecked, with a warning, where there is no
            such folder.
        progress: Told after each image.
        workers: Threads that decode; as many as cores where None.

    Raises:
        DataError: There is nothing at `path`, or it is an image.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(
            f"{path}: is an image, not labels",
            hint="Give a folder with train.json and train/, or a label file.",
        )
    jobs = _jobs_of_folder(path) if path.is_dir() else [_read_split(path.stem, _beside(path))]
    _check_scales(jobs)
    total, done = sum(len(job.files) for job in jobs), 0
    seen: list[SeenImage] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:  # Pillow decodes without the GIL
        for index, job in enumerate(jobs):
            numbers = job.numbers()
            for (path, _), result in zip(job.files, pool.map(_look_at, job.files), strict=True):
                if isinstance(result, Finding):
                    job.findings.append(result)
                else:
                    number = numbers.get(path.name)
                    seen.append(SeenImage(split=index, path=path, number=number, print=result))
                done += 1
                if progress is not None:
                    progress(done, total)
    with tracking("comparing", "step") as show:
        for index, finding in repeat_findings(seen, show):
            jobs[index].findings.append(finding)
    return CheckReport(path, tuple(job.result() for job in jobs))


@dataclass(kw_only=True)
class _Job:
    """A split whose label file is checked and whose images, with their sizes, are yet to be."""

    name: str
    where: str
    labels: LabelSet | None
    num_files: int
    files: list[_File]
    findings: list[Finding]

    def numbers(self) -> dict[str, str]:
        """Return what the labels of each file read, "" where it has no box."""
        images = self.labels.images if self.labels else ()
        return {image.file_name: image.number or "" for image in images}

    def result(self) -> SplitCheck:
        return SplitCheck(
            name=self.name,
            images=len(self.labels) if self.labels else 0,
            boxes=len(self.labels.boxes) if self.labels else 0,
            files=self.num_files,
            categories=str(self.labels.categories) if self.labels else None,
            findings=tuple(self.findings),
        )


def _check_scales(jobs: list[_Job]) -> None:
    """Compare the splits' digits in size."""
    found = scale_findings({job.name: job.labels for job in jobs if job.labels})
    for job in jobs:
        if job.name in found:
            job.findings.append(found[job.name])


def _beside(labels_path: Path) -> Split:
    return Split(labels_path=labels_path, images_dir=labels_path.with_suffix(""))


def _jobs_of_folder(data: Path) -> list[_Job]:
    jobs = []
    for name in SPLITS:
        if name == "test" and not ((data / "test").is_dir() or labels_path_of(data, "test").exists()):
            continue
        try:
            jobs.append(_read_split(name, find_split(data, name)))
        except DataError as error:
            missing = Finding("incomplete splits", "error", str(data), str(error).removeprefix(f"{data}: "))
            jobs.append(_Job(name=name, where="", labels=None, num_files=0, files=[], findings=[missing]))
    return jobs


def _read_split(name: str, split: Split) -> _Job:
    """Check a label file, and list the images that are to be decoded."""
    found = list_images(split.images_dir).paths if split.images_dir.is_dir() else []
    findings: list[Finding] = []
    labels = None
    files: list[_File] = []
    if split.has_labels:
        labels, findings = _read_table(name, split.labels_path)
    if labels is None:
        files = [(path, None) for path in found]
    elif split.images_dir.is_dir():
        sizes = [(height, width) for height, width in labels.sizes_hw.tolist()]
        files = list(zip((split.images_dir / file for file in labels.file_names), sizes, strict=True))
        findings += _unlisted(found, labels, split)
    else:
        findings.append(_missing_folder(split))
    if not found and split.images_dir.is_dir():
        findings.append(Finding("empty splits", "error", str(split.images_dir), "holds no images"))
    return _Job(
        name=name,
        where=str(split.labels_path),
        labels=labels,
        num_files=len(found),
        files=files,
        findings=findings,
    )


def _read_table(name: str, path: Path) -> tuple[LabelSet | None, list[Finding]]:
    try:
        labels = clip_labels(scan_labels(read_json(path), path))
    except DataError as error:
        return None, [Finding("unreadable labels", "error", str(path), str(error).removeprefix(f"{path}: "))]
    findings = Findings(str(path))
    findings += labels.findings
    if len(labels) and not len(labels.boxes) and name != "test":
        findings.error("splits without boxes", "no image has a usable box")
    else:
        for row in np.flatnonzero(np.diff(labels.offsets) == 0).tolist():
            image = f"image {labels.image_ids[row]}, {labels.file_names[row]}"
            findings.warn("images without boxes", f"{image} has no usable box")
        findings += label_findings(labels)
    return labels, findings


def _missing_folder(split: Split) -> Finding:
    text = f"no such folder beside {split.labels_path.name}: no image was checked"
    return Finding("missing folders", "warning", str(split.images_dir), text)


def _unlisted(found: Iterable[Path], labels: LabelSet, split: Split) -> list[Finding]:
    listed = set(labels.file_names)
    findings = Findings(str(split.images_dir))
    for path in found:
        name = path.relative_to(split.images_dir).as_posix()
        if name not in listed:
            findings.warn("images without labels", f"{name} is not in {split.labels_path.name}")
    return findings


def _look_at(file: _File) -> Finding | Fingerprint:
    """Decode an image; say what is wrong with it, or that its size is not the label file's."""
    path, size_hw = file
    try:
        image = decode_image(path)
    except DataError as error:
        kind = "unreadable images" if path.exists() else "missing images"
        return Finding(kind, "error", str(path), str(error).removeprefix(f"{path}: "))
    problem = size_problem(image.shape[:2], size_hw) if size_hw else None
    if problem:
        return Finding("sizes unlike the image", "error", str(path), problem)
    return fingerprint(image)
