"""`digitspot calibrate`: fit the reader to a detector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.calibrate import (
    calibrate_model,
    calibrate_results,
    is_results,
    store_settings,
    write_settings,
)
from digitspot.commands.options import parse
from digitspot.errors import ConfigError
from digitspot.files import check_writable
from digitspot.models import BUNDLED, find_model
from digitspot.progress import stderr, tracking
from digitspot.reading import ReadingSettings
from digitspot.reading.selection import select

TARGETS = (0.9, 0.95, 0.98)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """Fit how boxes become a number, its probability, and the style of boxes, to images with labels that
    the detector was not trained on.

    digitspot calibrate runs/mine --labels DATA/valid.json
    digitspot calibrate pred_valid.json --labels DATA/valid.json --output r.json
    """

    detector: Annotated[Path, tyro.conf.Positional]
    """A name of `digitspot models`, a run folder, a checkpoint or an exported .onnx; or a COCO results file
    of any detector."""
    labels: Path
    """The true labels, COCO detection format; for a model, beside the folder of their images."""
    output: Path | None = None
    """The file to write: a model, or for results a reader, which `evaluate --reader` takes. None replaces the
    model's own reader."""
    short_sides: tuple[int, ...] = ()
    """Input sizes, of the shorter side in pixels, now and whenever the model reads. Without --looks the whole
    image is looked at in each, and what is found is fused. With --looks N give one size, that of the first
    look, or N. None is the model's own size."""
    looks: Literal[1, 2, 3, 4] = 1
    """Look at most so often, now and whenever the model reads; no further look is taken once the number is
    sure. All but the first are at a crop around the number. Without sizes of their own, the second has the
    size of the first, the third is a quarter smaller, and the fourth a quarter larger."""


def run(arguments: list[str]) -> None:
    """Calibrate."""
    options = parse(CalibrateOptions, "calibrate", arguments)
    if options.output is not None:
        check_writable(options.output.parent)
    if is_results(options.detector):
        if options.short_sides or options.looks > 1:
            option = "--short-sides" if options.short_sides else "--looks"
            raise ConfigError(f"{option} needs a model", hint="`digitspot fuse` joins results.")
        if options.output is None:
            raise ConfigError("--output is missing", hint="Results hold no reader; name a file for it.")
        settings, path = calibrate_results(options.detector, options.labels), options.output
        write_settings(settings, path)
    else:
        model = find_model(options.detector)
        if options.output is None and model.parent == BUNDLED:
            raise ConfigError(
                f"{options.detector} comes with digitspot", hint="Write a new model: --output FILE."
            )
        with tracking("reading") as show:
            settings = calibrate_model(model, options.labels, show, options.short_sides, options.looks)
        path = store_settings(settings, model, options.output)
    _report(settings)
    print(path)


def _report(settings: ReadingSettings) -> None:
    """Say how good the reader is, and at which accuracy it would answer how much."""
    stderr().print(f"{settings}; labels: {settings.style}")
    for target in TARGETS:
        stderr().print(f"--target-accuracy {target}: {select(settings.risk, target) or 'not reached'}")
