"""`digitspot fuse`: join what several runs found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.answers import FILES, SEEN, read_seen, results_path, write_answers
from digitspot.calibrate import read_settings
from digitspot.commands.options import parse
from digitspot.dataset.seen import Seen
from digitspot.errors import ConfigError
from digitspot.files import check_writable, writing_together
from digitspot.fusion import MIN_IOU, fuse_runs
from digitspot.labels.coco import read_labels
from digitspot.labels.results import read_results
from digitspot.progress import working
from digitspot.reading import read_image
from digitspot.types import Detections, Reading


@dataclass(frozen=True, kw_only=True)
class FuseOptions:
    """Join the boxes of several runs by weighted box fusion, and read the numbers of what comes out.

    digitspot fuse answers-one answers-other --labels DATA/test.json --output both
    """

    answers: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with pred.json, or COCO results files, of the same images."""
    labels: Path
    """A label file that lists the images and the categories."""
    output: Path
    """Where the answers go."""
    reader: Path | None = None
    """How to read numbers from the boxes, and their style: what `digitspot calibrate` wrote for fused results
    of other images. None writes boxes only."""
    min_iou: float = MIN_IOU
    """Boxes of a digit that overlap by more are one."""


def run(arguments: list[str]) -> None:
    """Fuse."""
    options = parse(FuseOptions, "fuse", arguments)
    if len(options.answers) < 2:
        raise ConfigError("fuse needs two answers or more", hint="digitspot fuse A B --labels L --output C")
    if not 0 < options.min_iou < 1:
        raise ConfigError(f"--min-iou {options.min_iou:g} is not between 0 and 1")
    check_writable(options.output)
    labels = read_labels(options.labels, clip=False)
    paths = [results_path(path) for path in options.answers]
    with working("fusing"):
        found = fuse_runs([read_results(path, labels) for path in paths], options.min_iou)
    readings: dict[int, Reading] | None = None
    if options.reader:
        settings = read_settings(options.reader)
        images = {image.image_id: found.get(image.image_id, Detections.empty()) for image in labels.images}
        reads = {image_id: read_image(each, settings) for image_id, each in images.items()}
        readings = {image_id: reading for image_id, (_, reading) in reads.items()}
        found = {image_id: reads[image_id][0] for image_id in found}
    seen = Seen(frozenset().union(*(read_seen(path.with_name(SEEN)).keys for path in paths)))
    with writing_together(options.output, FILES) as aside:
        write_answers(
            aside,
            found.items(),
            None if readings is None else readings.items(),
            labels.categories,
            seen=seen,
            command=["digitspot", "fuse", *arguments],
        )
    print(options.output)
