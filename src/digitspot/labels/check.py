"""Everything that is wrong with a data set, found in one go: in the label files and in the images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.errors import DataError
from digitspot.images import IMAGE_SUFFIXES, list_images
from digitspot.labels.check_images import ImageFile, check_images
from digitspot.labels.check_labels import label_findings, scale_findings
from digitspot.labels.coco import Split, find_split, labels_path_of, scan_file
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import Finding, Findings, Severity
from digitspot.labels.scan import box_format_findings, clip_labels

Progress = Callable[[int, int], None]
"""Called in the caller's thread with the images done and their total, over all splits."""

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """What was found in one split.

    Attributes:
        name: "train", or the name of a lone label file without ".json".
        images: Those that the label file lists and that can be used.
        boxes: Likewise, after clipping.
        files: Image files in the folder and its subfolders.
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
    splits = _splits_of_folder(path) if path.is_dir() else [_check_labels(path.stem, _beside(path))]
    _check_scales(splits)
    files = [file for index, split in enumerate(splits) for file in split.image_files(index)]
    for index, finding in check_images(files, progress, workers):
        splits[index].findings.append(finding)
    return CheckReport(path, tuple(split.result() for split in splits))


@dataclass(kw_only=True)
class _Split:
    """A split whose label file is checked, but not its images.

    Attributes:
        name: "train", "valid", "test" or the name of a lone label file.
        labels: What can be used of the label file.
        images_dir: The folder of the images; None where there is none.
        paths: The images in it.
        findings: What was found so far.
    """

    name: str
    labels: LabelSet | None = None
    images_dir: Path | None = None
    paths: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def image_files(self, index: int) -> list[ImageFile]:
        """Return the images to decode: those of the label file, or all where there are no labels."""
        if self.labels is None:
            return [ImageFile(split=index, path=path) for path in self.paths]
        if self.images_dir is None:
            return []
        return [
            ImageFile(
                split=index,
                path=self.images_dir / image.file_name,
                size_hw=image.size_hw,
                number=image.number or "",
            )
            for image in self.labels.images
        ]

    def result(self) -> SplitCheck:
        return SplitCheck(
            name=self.name,
            images=len(self.labels) if self.labels else 0,
            boxes=len(self.labels.boxes) if self.labels else 0,
            files=len(self.paths),
            categories=str(self.labels.categories) if self.labels else None,
            findings=tuple(self.findings),
        )


def _check_scales(splits: list[_Split]) -> None:
    """Compare the splits' digits in size."""
    found = scale_findings({split.name: split.labels for split in splits if split.labels})
    for split in splits:
        if split.name in found:
            split.findings.append(found[split.name])


def _beside(labels_path: Path) -> Split:
    return Split(labels_path=labels_path, images_dir=labels_path.with_suffix(""))


def _splits_of_folder(data: Path) -> list[_Split]:
    splits = []
    for name in SPLITS:
        if name == "test" and not ((data / "test").is_dir() or labels_path_of(data, "test").exists()):
            continue
        if (data / f"{name}.pack").is_dir():
            splits.append(_check_packed(name, data))
            continue
        try:
            splits.append(_check_labels(name, find_split(data, name)))
        except DataError as error:
            text = str(error).removeprefix(f"{data}: ")
            if name == "valid":
                text += (
                    "; recipes need one, `digitspot train --data` without a recipe holds out a part of train"
                )
            missing = Finding("incomplete splits", "error", str(data), text)
            splits.append(_Split(name=name, findings=[missing]))
    return splits


def _check_packed(name: str, data: Path) -> _Split:
    """Check the labels of a split whose images are in a pack, which training opens without its label file."""
    split = _Split(name=name)
    labels_path = labels_path_of(data, name)
    if labels_path.is_file():
        split.labels, split.findings = _scan(name, labels_path)
    text = "the images of a pack are not checked here; training checks them when it reads them"
    split.findings.append(Finding("packed splits", "warning", str(data / f"{name}.pack"), text))
    return split


def _check_labels(name: str, files: Split) -> _Split:
    """Check a label file, and list the images beside it."""
    split = _Split(name=name)
    if files.has_labels:
        split.labels, split.findings = _scan(name, files.labels_path)
    if not files.images_dir.is_dir():
        if split.labels is None:
            return split
        text = f"no such folder beside {files.labels_path.name}: no image was checked"
        split.findings.append(Finding("missing folders", "warning", str(files.images_dir), text))
        return split
    split.images_dir = files.images_dir
    split.paths = list_images(files.images_dir).paths
    if split.labels is not None:
        split.findings += _unlisted(split.paths, split.labels, files)
    elif not split.paths and not files.has_labels:
        split.findings.append(Finding("empty splits", "error", str(files.images_dir), "holds no images"))
    return split


def _scan(name: str, path: Path) -> tuple[LabelSet | None, list[Finding]]:
    """Check a label file as training reads it, and look for what is odd."""
    try:
        labels = scan_file(path, clip=name not in ("valid", "test"), for_training=name != "test")
    except DataError as error:
        return None, [Finding("unreadable labels", "error", str(path), str(error).removeprefix(f"{path}: "))]
    findings = Findings(str(path))
    if name == "test":
        findings += box_format_findings(labels)
    if name in ("valid", "test"):
        labels = clip_labels(labels)  # training and evaluation keep these boxes as they are
    findings += labels.findings
    if len(labels.boxes):
        for row in np.flatnonzero(np.diff(labels.offsets) == 0).tolist():
            image = f"image {labels.image_ids[row]}, {labels.file_names[row]}"
            findings.warn("images without boxes", f"{image} has no usable box")
        findings += label_findings(labels)
    return labels, findings


def _unlisted(found: Iterable[Path], labels: LabelSet, files: Split) -> list[Finding]:
    listed = {files.images_dir / name for name in labels.file_names}
    findings = Findings(str(files.images_dir))
    for path in found:
        if path not in listed:
            name = path.relative_to(files.images_dir).as_posix()
            findings.warn("images without labels", f"{name} is not in {files.labels_path.name}")
    return findings
