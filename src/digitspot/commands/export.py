"""`digitspot export`: a model to one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.commands.options import parse
from digitspot.detector.export import export_onnx
from digitspot.errors import ConfigError
from digitspot.files import check_writable
from digitspot.progress import stderr
from digitspot.training.checkpoint import load_model


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Write a model as one ONNX file that `predict` and `read` take; ONNX Runtime and OpenVINO run it.

    digitspot export runs/mine --output mine.onnx
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its best model) or a checkpoint."""
    output: Path | None = None
    """The file, ending in .onnx; none is model.onnx in the run folder, or the checkpoint's name."""
    format: Literal["onnx"] = "onnx"
    """OpenVINO runs ONNX as it is."""


def run(arguments: list[str]) -> None:
    """Export."""
    options = parse(ExportOptions, "export", arguments)
    output = options.output or (
        options.run / "model.onnx" if options.run.is_dir() else options.run.with_suffix(".onnx")
    )
    if output.suffix.lower() != ".onnx":
        raise ConfigError(f"--output {output} does not end in .onnx", hint="Models are told apart by it.")
    check_writable(output.parent)
    model = load_model(options.run)
    export_onnx(model.detector, model.manifest, output)
    stderr().print(f"digit=category_id: {model.categories}; {model.reading}")
    print(output)
