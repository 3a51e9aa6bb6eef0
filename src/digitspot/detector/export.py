"""`nano` as one ONNX graph that ONNX Runtime and OpenVINO run without torch.

Both suppressions are ONNX's own `NonMaxSuppression`, which takes the whole batch and all classes at once:
2 % of the graph's time in ONNX Runtime, exact, and dynamic in batch and size. Pooling is `RoiAlign`, which
equals `batched.pool_boxes` and takes OpenVINO a third less time. torch's exporter by tracing writes both from
plain `symbolic` functions, the same in every torch from 2.11 on, and needs no package but `onnx`.

Of equal scores, the graph takes the place that comes first (rows, columns, anchors); torch leaves open which.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.onnx import TrainingMode
from torchvision.ops import nms, roi_align

from digitspot.detector import batched
from digitspot.detector.model import Detector
from digitspot.detector.nano import ANCHOR_STRIDE, RPN_NMS, Nano
from digitspot.detector.quantize import Feed, quantize
from digitspot.errors import ExportError
from digitspot.model_file import BYTES, HALVED, IMAGES, OUTPUTS, SCALE, SIZES, ModelInfo, write_onnx

OPSET = 17
"""Of 2022; `RoiAlign` places its samples as torchvision from 16 on."""


class Core(nn.Module):
    """`nano` from a batch to detections, in operations that ONNX has.

    Args:
        nano: The network, in evaluation.
    """

    def __init__(self, nano: Nano) -> None:
        super().__init__()
        self.nano = nano

    def forward(self, images: Tensor, sizes_hw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find digits.

        Args:
            images: float32 `[B, 3, H, W]`, normalised and padded as `digitspot.preprocess.collate` does.
            sizes_hw: int64 `[B, 2]`, each image's height and width without the padding.

        Returns:
            Of all images together: boxes float32 `[N, 4]` x1 y1 x2 y2 in input pixels, labels int64 `[N]`
            (digit + 1), scores float32 `[N]`, and the image `[N]` that each is in, ascending.
        """
        nano = self.nano
        height, width = sizes_hw.to(images.dtype).unbind(1)
        frames = torch.stack([width, height, width, height], 1)[:, None]  # [B, 1, 4]
        fine, coarse = nano.backbone(images)
        anchors = batched.place_anchors(nano.anchors, coarse.shape[-2:], ANCHOR_STRIDE)
        boxes, scores = nano.candidates(anchors, *nano.proposal_outputs(coarse), frames)
        num = nano.config.rpn_post_nms_test
        image, _, place = _Suppress.apply(boxes, scores[:, None], num, RPN_NMS).unbind(1)
        alive = torch.full_like(scores, -torch.inf).index_put((image, place), scores[image, place])
        scores, best = batched.best_of(alive, num)
        proposals = boxes.gather(1, best[..., None].expand(-1, -1, 4))
        exists = scores > -torch.inf
        boxes, scores = nano.score_digits(fine, proposals, exists, frames, _pool)
        scores = scores.transpose(1, 2)  # [B, 10, K]
        image, digit, place = _Suppress.apply(
            boxes, scores, nano.config.max_detections, nano.config.max_iou
        ).unbind(1)
        return boxes[image, place], digit + 1, scores[image, digit, place], image


class _Suppress(torch.autograd.Function):
    """Suppression within each image and class; boxes that score minus infinity are left out."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, num: int, max_iou: float) -> Tensor:
        """Return rows of (image, class, place), `[N, 3]`, of boxes `[B, K, 4]` and scores `[B, C, K]`."""
        rows = []
        for image in range(scores.shape[0]):
            for group in range(scores.shape[1]):
                valid = torch.isfinite(scores[image, group]).nonzero().squeeze(1)
                kept = valid[nms(boxes[image, valid], scores[image, group, valid], max_iou)][:num]
                rows.append(torch.stack([kept.new_full(kept.shape, i) for i in (image, group)] + [kept], 1))
        return torch.cat(rows)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, num: int, max_iou: float) -> Any:
        """Return the node; its threshold, the smallest number, leaves minus infinity out."""
        constants = (
            torch.tensor([num]),
            torch.tensor([max_iou], dtype=torch.float32),
            torch.tensor([torch.finfo(torch.float32).min]),
        )
        values = (g.op("Constant", value_t=value) for value in constants)
        return g.op("NonMaxSuppression", boxes, scores, *values)


def _pool(features: Tensor, boxes: Tensor, stride: float, size: int, samples: int = 2) -> Tensor:
    """Return what `batched.pool_boxes` does."""
    num_images, num_boxes = boxes.shape[:2]
    image = torch.arange(num_images, dtype=boxes.dtype)[:, None, None].expand(-1, num_boxes, 1)
    places = torch.cat([image, boxes], -1).flatten(0, 1)  # [B * K, 5]
    pooled: Tensor = roi_align(features, places, size, 1 / stride, samples, aligned=False)
    pooled = pooled.view(num_images, num_boxes, features.shape[1], size, size)
    return pooled.permute(0, 1, 3, 4, 2)


Stored = Literal["fp32", "fp16", "w8"]
MIN_HALVED, MIN_BYTES = 1 << 10, 1 << 16
"""Numbers of a weight that is worth storing in 16 bits, and in 8."""


def export_onnx(
    detector: Detector,
    info: ModelInfo,
    path: Path,
    calibration: Iterable[Feed] | None = None,
    store: Stored = "fp32",
) -> None:
    """Write a detector and what goes with it as an ONNX file, whole or not at all.

    Args:
        detector: A `nano`.
        info: What goes with it; the precision is set here.
        path: The file.
        calibration: Inputs to quantise the backbone to 8 bits on; None leaves float32.
        store: How weights are stored. They are widened once, when the model is loaded.

    Raises:
        ExportError: The preset cannot be exported.
        DataError: An image to calibrate on cannot be read.
        DigitspotError: The file cannot be written.
    """
    if not isinstance(detector, Nano):
        raise ExportError(
            f"a model of preset {info.preset} cannot be exported",
            hint="nano can: train with nano. Others run in torch.",
        )
    model = onnx.load_from_string(_graph(Core(detector.cpu()).eval(), named=calibration is None))
    if calibration is not None:
        model, info = quantize(model, calibration), replace(info, precision="int8")
    if store != "fp32":
        _store_small(model, store)
        info = replace(info, precision=store)
    onnx.checker.check_model(model)
    write_onnx(model.SerializeToString(), info, path)


def _store_small(model: onnx.ModelProto, store: Stored) -> None:
    """Store large weights in 16 bits, or the largest in 8 with a scale for each row of the first axis."""
    graph = model.graph
    small, widened = [], []
    for weight in list(graph.initializer):
        values, name = numpy_helper.to_array(weight), weight.name
        if values.dtype != np.float32 or values.size < MIN_HALVED:
            continue
        if store == "fp16" or values.size < MIN_BYTES:
            small.append(numpy_helper.from_array(values.astype(np.float16), name + HALVED))
            widened.append(helper.make_node("Cast", [name + HALVED], [name], to=onnx.TensorProto.FLOAT))
        else:
            rows = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
            scale = np.maximum(rows, 1e-12) / 127
            small.append(numpy_helper.from_array(np.round(values / scale).astype(np.int8), name + BYTES))
            small.append(numpy_helper.from_array(scale.astype(np.float32), name + SCALE))
            wide = name + ".wide"
            widened.append(helper.make_node("Cast", [name + BYTES], [wide], to=onnx.TensorProto.FLOAT))
            widened.append(helper.make_node("Mul", [wide, name + SCALE], [name]))
        graph.initializer.remove(weight)
    graph.initializer.extend(small)
    nodes = [*widened, *graph.node]  # a graph lists what computes a value before what uses it
    del graph.node[:]
    graph.node.extend(nodes)


def _graph(core: Core, named: bool) -> bytes:
    """Trace the network; with which images does not matter.

    Args:
        core: The network.
        named: Keep weights as they are and under their names, so that a training can start from them;
            runtimes fold them. Else normalisation is folded into convolutions, as quantising needs it.
    """
    mode = TrainingMode.PRESERVE if named else TrainingMode.EVAL
    core.training = named  # of the wrapper alone: else the exporter merges weights of equal values
    example = torch.zeros(2, 3, 96, 160), torch.tensor([[96, 150], [90, 160]])
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        path = Path(folder) / "graph.onnx"
        warnings.simplefilter("ignore")  # the tracing exporter is called legacy; see above
        torch.onnx.export(
            core,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            training=mode,
            do_constant_folding=not named,
            input_names=[IMAGES, SIZES],
            output_names=list(OUTPUTS),
            dynamic_axes={
                IMAGES: {0: "batch", 2: "height", 3: "width"},
                SIZES: {0: "batch"},
                **{name: {0: "found"} for name in OUTPUTS},
            },
        )
        return path.read_bytes()
