"""A model file opened in the runtime that computes it, importing no other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from digitspot.errors import ConfigError
from digitspot.model_file import ModelInfo
from digitspot.runtime import Runtime
from digitspot.runtime.exported import ExportedRuntime

RuntimeName = Literal["auto", "torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16"]


def runtime_for(path: Path, name: RuntimeName) -> RuntimeName:
    """Return the runtime that computes a model; raise a `ConfigError` where the one named cannot."""
    exported = path.suffix.lower() == ".onnx"
    if name == "auto":
        return "onnx" if exported else "torch"
    if exported == (name == "torch"):
        raise ConfigError(
            f"{path} cannot run in {name}",
            hint="torch runs checkpoints; `digitspot export RUN` writes an .onnx file for the others.",
        )
    return name


def open_model(
    path: Path, device: str, name: RuntimeName, precision: Precision, threads: int | None
) -> tuple[Runtime, ModelInfo]:
    """Load a model into a runtime, importing no other."""
    if name == "torch":
        from digitspot.runtime.torch_runtime import open_checkpoint

        runtime, info = open_checkpoint(path, device, precision, threads)
        return runtime, info
    if device not in ("auto", "cpu"):
        raise ConfigError(f"{path} cannot run on {device!r}", hint="Exported models run on the CPU.")
    exported = _open_exported(path, name, precision, threads)
    return exported, exported.info


def _open_exported(
    path: Path, name: RuntimeName, precision: Precision, threads: int | None
) -> ExportedRuntime:
    if name == "openvino":
        from digitspot.runtime.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(path, precision, num_threads=threads)
    if precision != "fp32":
        raise ConfigError(f"ONNX Runtime does not compute in {precision}", hint="--runtime openvino does.")
    from digitspot.runtime.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, num_threads=threads)
