"""`digitspot export`: a model to one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.commands.options import parse
from digitspot.detector.export import export_onnx
from digitspot.detector.quantize import feeds, sample_images
from digitspot.detector.trained import load_model
from digitspot.errors import ConfigError
from digitspot.files import check_writable
from digitspot.progress import stderr, tracking, working


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write a model as one ONNX file that `predict` and `read` take; ONNX Runtime and OpenVINO run it.

    digitspot export runs/mine --output mine.onnx
    digitspot export runs/mine --output mine.onnx --precision fp16
    digitspot export runs/mine --output mine.onnx --precision int8 --data DATA
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its best model) or a checkpoint."""
    output: Path | None = None
    """The file, ending in .onnx. None is model.onnx in the run folder, model-int8.onnx for int8 and so on, or
    the checkpoint's name."""
    format: Literal["onnx"] = "onnx"
    """OpenVINO runs ONNX as it is."""
    precision: Literal["fp32", "fp16", "w8", "int8"] = "fp32"
    """fp16 and w8 store weights in half and in a third of the space and compute in fp32. int8, the backbone
    in integers of 8 bits, is faster and smaller; answers differ a little."""
    data: Path | None = None
    """For int8: a data set in digitspot's layout; images of its train split are calibrated on."""


def run(arguments: list[str]) -> None:
    """Export."""
    options = parse(ExportOptions, "export", arguments)
    output = options.output or _default_output(options)
    if output.suffix.lower() != ".onnx":
        raise ConfigError(f"--output {output} does not end in .onnx", hint="Models are told apart by it.")
    if (options.precision == "int8") != (options.data is not None):
        raise ConfigError(
            f"--precision {options.precision} {'without' if options.data is None else 'with'} --data",
            hint="int8, and nothing else, is calibrated on images: --precision int8 --data DIR.",
        )
    check_writable(output.parent)
    model = load_model(options.run)
    if options.precision != "int8":
        with working("exporting"):
            export_onnx(model.detector, model.info, output, store=options.precision)
    else:
        assert options.data is not None
        paths = sample_images(options.data)
        with tracking("calibrating") as show:
            calibration = feeds(paths, model.config.input, show)
            export_onnx(model.detector, model.info, output, calibration)
    stderr().print(f"digit=category_id: {model.categories}; {model.reading}")
    print(output)


def _default_output(options: ExportOptions) -> Path:
    suffix = ".onnx" if options.precision == "fp32" else f"-{options.precision}.onnx"
    if options.run.is_dir():
        return options.run / f"model{suffix}"
    return options.run.with_name(f"{options.run.stem}{suffix}")
