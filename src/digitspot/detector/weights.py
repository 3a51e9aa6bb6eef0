"""The weights a detector starts from: torchvision's, a file's, or none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, ResNet18_Weights, ResNet50_Weights, WeightsEnum
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
)

from digitspot.errors import CheckpointError, ConfigError
from digitspot.model_file import BEST, BYTES, EXPORTED_AS, HALVED, SCALE, read_onnx
from digitspot.models import find_model

COCO: dict[str, WeightsEnum] = {
    "resnet50_fpn_v2": FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "mobilenet_v3_large_fpn": FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
}
"""Whole detectors, trained on COCO's 90 classes."""
IMAGENET: dict[str, WeightsEnum] = {
    "resnet50_fpn_v2": ResNet50_Weights.IMAGENET1K_V1,
    "mobilenet_v3_large_fpn": MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    "resnet18_fpn": ResNet18_Weights.IMAGENET1K_V1,
}
"""Backbones, trained to classify; their classifier is left out."""

ANOTHER_PRESET = "Is --model.preset the one that the weights were trained with?"


def load_start(network: nn.Module, preset: str, weights: str) -> None:
    """Load what a detector starts from.

    Args:
        network: A torchvision detector with the heads of our eleven classes.
        preset: The preset's name, which decides what torchvision offers for it.
        weights: "coco", "imagenet", "none", a name of `digitspot models`, or the path of a state dict: a
            whole detector of this preset, ours or with another number of classes, or one torchvision saved.

    Raises:
        ConfigError: The preset has no such weights.
        CheckpointError: They cannot be fetched or read, or belong to another network.
    """
    if weights == "none":
        return
    if weights == "coco":
        load_detector(network, _fetch(COCO, preset, weights), "torchvision's COCO weights")
    elif weights == "imagenet":
        _load_backbone(network, _fetch(IMAGENET, preset, weights))
    else:
        load_detector(network, read_state_dict(find_model(weights)), weights)


def load_detector(network: nn.Module, state: Mapping[str, Tensor], place: str) -> list[str]:
    """Load a whole detector; layers whose shape depends on the number of classes or anchors may differ.

    Args:
        network: What to load into.
        state: A state dict under torchvision's names.
        place: Where it comes from, for messages.

    Returns:
        Names that kept their random start because their shape differs.

    Raises:
        CheckpointError: A name is missing or unknown, or another layer has another shape.
    """
    own = network.state_dict()
    replaced = [name for name in own if name in state and state[name].shape != own[name].shape]
    heads = ("roi_heads.box_predictor.", "rpn.head.cls_logits.", "rpn.head.bbox_pred.")
    wrong = [name for name in replaced if not name.startswith(heads)]
    if wrong:
        shapes = f"{tuple(state[wrong[0]].shape)}, this network has {tuple(own[wrong[0]].shape)}"
        raise CheckpointError(f"{place} is of another network: {wrong[0]} is {shapes}", hint=ANOTHER_PRESET)
    missing, unknown = network.load_state_dict(
        {name: value for name, value in state.items() if name not in replaced}, strict=False
    )
    missing = [name for name in missing if name not in replaced and "num_batches_tracked" not in name]
    if missing or unknown:
        names = ", ".join((missing + unknown)[:3])
        raise CheckpointError(
            f"{place} is of another network: {len(missing)} names missing, {len(unknown)} unknown ({names})",
            hint=ANOTHER_PRESET,
        )
    return replaced


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a file that `torch.save` wrote, or from an exported model.

    Nothing is unpickled but tensors.

    Raises:
        CheckpointError: The file is missing, cut off, or holds something else.
    """
    if path.is_dir():
        path = path / BEST
    if path.suffix.lower() == ".onnx":
        return _exported_weights(path)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no weights file {path}") from error
    except Exception as error:  # a damaged pickle fails as KeyError, struct.error and more
        raise CheckpointError(f"{path} cannot be read as weights: {_first_line(error)}") from error
    if isinstance(values, dict) and isinstance(values.get("model"), dict):
        values = values["model"]
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise CheckpointError(f"{path} holds no state dict of tensors by name")
    return values


def _exported_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights that an exported model has under the network's own names."""
    import onnx

    data, _ = read_onnx(path)
    graph = onnx.load_from_string(data).graph
    stored = {each.name: onnx.numpy_helper.to_array(each).astype(np.float32) for each in graph.initializer}
    weights = {}
    for key, values in stored.items():
        name = key.removesuffix(HALVED).removesuffix(BYTES)
        if name.startswith(EXPORTED_AS) and not name.endswith(SCALE):
            values = values * stored[name + SCALE] if key.endswith(BYTES) else values
            weights[name.removeprefix(EXPORTED_AS)] = torch.from_numpy(values)
    if not any(name.startswith("backbone.stem.1.") for name in weights):
        raise CheckpointError(
            f"{path} cannot be trained on: its normalisation is folded into its weights",
            hint="Export it again with this version, not in int8.",
        )
    return weights


def _fetch(table: Mapping[str, WeightsEnum], preset: str, weights: str) -> Mapping[str, Tensor]:
    if preset not in table:
        raise ConfigError(
            f"torchvision has no {weights!r} weights for {preset}",
            hint=f"Presets with them: {', '.join(table)}. `--model.weights none` starts at random.",
        )
    try:
        with redirect_stdout(sys.stderr):  # torch.hub says there what it downloads
            return dict(table[preset].get_state_dict(progress=True, check_hash=True, weights_only=True))
    except Exception as error:  # of the network, the disk, or a damaged file in torch.hub's cache
        raise CheckpointError(
            f"{weights!r} weights of {preset} cannot be had: {_first_line(error)}",
            hint=f"Download {table[preset].url} elsewhere and give the file: --model.weights FILE; "
            "or start at random: --model.weights none.",
        ) from error


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    body = network.get_submodule("backbone.body")
    own = body.state_dict()
    prefix = "features." if any(name.startswith("features.") for name in state) else ""
    values = {name: state[prefix + name] for name in own if prefix + name in state}
    body.load_state_dict(values, strict=False)
    left = [name for name in own if name not in values and "num_batches_tracked" not in name]
    if left:
        raise CheckpointError(f"torchvision's backbone weights lack {len(left)} names, the first {left[0]}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
