"""pycocotools is the oracle: on tables of odd cases, on random data, on a real data set."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitspot.boxes import xywh_to_xyxy
from digitspot.errors import DataError
from digitspot.evaluation.coco_metrics import FIGURES, BoxMetrics, PrecisionCurves, evaluate_boxes
from digitspot.evaluation.intervals import image_weights
from digitspot.evaluation.matching import MIN_IOUS, match_boxes
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import CategoryMap, FileDetections, LabelledImage, LabelSet
from digitspot.labels.results import read_results
from digitspot.types import Detections

Record = dict[str, Any]


def truth(image_id: int, category_id: int, box: Sequence[float], crowd: int = 0, area: float = -1) -> Record:
    area = box[2] * box[3] if area < 0 else area
    row = {"image_id": image_id, "category_id": category_id, "bbox": list(box), "iscrowd": crowd}
    return {**row, "area": area}


def found(image_id: int, category_id: int, box: Sequence[float], score: float) -> Record:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score}


def oracle(
    image_ids: Sequence[int],
    truths: Sequence[Record],
    results: Sequence[Record],
    chosen: Sequence[int] | None,
) -> tuple[list[float], list[float]]:
    """The twelve figures, and AP of each digit, by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels, predictions = COCO(), COCO()
    labels.dataset = {
        "images": [{"id": image_id} for image_id in image_ids],
        "annotations": [{**row, "id": number} for number, row in enumerate(truths, start=1)],
        "categories": CategoryMap.homework().records(),
    }
    # As pycocotools' `loadRes` does it, which cannot load an empty list.
    areas = [row["bbox"][2] * row["bbox"][3] for row in results]
    rows = [
        {**row, "id": n, "area": a, "iscrowd": 0}
        for n, (row, a) in enumerate(zip(results, areas, strict=True), 1)
    ]
    predictions.dataset = {**labels.dataset, "annotations": rows}
    with contextlib.redirect_stdout(io.StringIO()):
        labels.createIndex()
        predictions.createIndex()
        run = COCOeval(labels, predictions, "bbox")
        run.params.imgIds = list(image_ids if chosen is None else chosen)
        run.evaluate()
        run.accumulate()
        run.summarize()
    by_digit = [run.eval["precision"][:, :, digit, 0, 2] for digit in range(10)]
    return list(run.stats), [float(p[p > -1].mean()) if (p > -1).any() else -1.0 for p in by_digit]


def columns(rows: Sequence[Record], key: str, dtype: type, width: int = 0) -> np.ndarray[Any, Any]:
    shape = (len(rows), width) if width else (len(rows),)
    return np.array([row[key] for row in rows], dtype).reshape(shape)


def label_set(image_ids: Sequence[int], truths: Sequence[Record]) -> LabelSet:
    images = []
    for image_id in image_ids:
        rows = [row for row in truths if row["image_id"] == image_id]
        xywh = columns(rows, "bbox", np.float64, 4)
        images.append(
            LabelledImage(
                image_id=image_id,
                file_name=f"{image_id}.png",
                size_hw=(400, 400),
                boxes=xywh_to_xyxy(xywh).astype(np.float32),
                labels=columns(rows, "category_id", np.int64),
                areas=columns(rows, "area", np.float64),
                crowd=columns(rows, "iscrowd", np.bool_),
                file_xywh=xywh,
            )
        )
    return LabelSet.of(images, categories=CategoryMap.homework(), path=Path("labels.json"))


def detections(results: Sequence[Record]) -> dict[int, Detections]:
    by_image: dict[int, list[Record]] = {}
    for row in results:
        by_image.setdefault(row["image_id"], []).append(row)
    return {
        image_id: FileDetections(
            boxes=xywh_to_xyxy(columns(rows, "bbox", np.float32, 4)),
            labels=columns(rows, "category_id", np.int64),
            scores=columns(rows, "score", np.float32),
            xywh=columns(rows, "bbox", np.float64, 4),
            file_scores=columns(rows, "score", np.float64),
        )
        for image_id, rows in by_image.items()
    }


def assert_equal_to_oracle(
    image_ids: Sequence[int],
    truths: Sequence[Record],
    results: Sequence[Record],
    chosen: Sequence[int] | None = None,
) -> None:
    assert_figures(
        evaluate_boxes(label_set(image_ids, truths), detections(results), chosen),
        image_ids,
        truths,
        results,
        chosen,
    )


def assert_figures(
    ours: BoxMetrics,
    image_ids: Sequence[int],
    truths: Sequence[Record],
    results: Sequence[Record],
    chosen: Sequence[int] | None = None,
) -> None:
    figures, digit_ap = oracle(image_ids, truths, results, chosen)
    assert list(ours.figures) == list(FIGURES)
    np.testing.assert_allclose(list(ours.figures.values()), figures, rtol=0, atol=1e-12)
    np.testing.assert_allclose(list(ours.digit_ap.values()), digit_ap, rtol=0, atol=1e-12)


BOX = (10, 10, 20, 40)
MOVED = (12, 10, 20, 40)
CASES = {
    "no images": ([], [], []),
    "no truth, no detections": ([1, 2], [], []),
    "no detections": ([1], [truth(1, 3, BOX)], []),
    "no truth": ([1], [], [found(1, 3, BOX, 0.5)]),
    "one box, found": ([1], [truth(1, 3, BOX)], [found(1, 3, BOX, 0.5)]),
    "one box, wrong digit": ([1], [truth(1, 3, BOX)], [found(1, 4, BOX, 0.5)]),
    "one box found twice": ([1], [truth(1, 3, BOX)], [found(1, 3, MOVED, 0.9), found(1, 3, BOX, 0.5)]),
    "found in the wrong image": ([1, 2], [truth(1, 3, BOX)], [found(2, 3, BOX, 0.5)]),
    "same truth twice": ([1], [truth(1, 3, BOX)] * 2, [found(1, 3, BOX, 0.9), found(1, 3, MOVED, 0.8)]),
    "better match taken first": (
        [1],
        [truth(1, 3, BOX), truth(1, 3, MOVED)],
        [found(1, 3, MOVED, 0.9), found(1, 3, MOVED, 0.8)],
    ),
    "equal overlap with two": (
        [1],
        [truth(1, 3, (10, 10, 20, 40)), truth(1, 3, (14, 10, 20, 40), area=2000)],
        [found(1, 3, (12, 10, 20, 40), 0.9), found(1, 3, (10, 10, 20, 40), 0.8)],
    ),
    "overlap exactly at a threshold": ([1], [truth(1, 3, (0, 0, 10, 10))], [found(1, 3, (0, 0, 10, 5), 0.5)]),
    "equal scores across images": (
        [5, 2, 9],
        [truth(5, 3, BOX), truth(2, 3, BOX), truth(9, 3, BOX)],
        [found(9, 3, BOX, 0.5), found(5, 3, (80, 80, 20, 20), 0.5), found(2, 3, BOX, 0.5)],
    ),
    "equal scores in one image": (
        [1],
        [truth(1, 3, BOX), truth(1, 3, (60, 10, 20, 40))],
        [found(1, 3, (90, 9, 9, 9), 0.5), found(1, 3, BOX, 0.5), found(1, 3, (60, 10, 20, 40), 0.5)],
    ),
    "crowd only": ([1], [truth(1, 3, BOX, crowd=1)], [found(1, 3, BOX, 0.5)]),
    "crowd takes many": (
        [1],
        [truth(1, 3, (0, 0, 100, 100), crowd=1), truth(1, 3, BOX)],
        [found(1, 3, (5, 5, 9, 9), 0.9), found(1, 3, (50, 50, 9, 9), 0.8), found(1, 3, BOX, 0.7)],
    ),
    "area at the edges of the ranges": (
        [1],
        [truth(1, 3, (0, 0, 32, 32)), truth(1, 4, (0, 0, 96, 96)), truth(1, 5, (0, 0, 97, 97))],
        [
            found(1, 3, (0, 0, 32, 32), 0.9),
            found(1, 4, (0, 0, 96, 96), 0.8),
            found(1, 5, (1, 1, 97, 97), 0.7),
        ],
    ),
    "area differs from the box": (
        [1],
        [truth(1, 3, (0, 0, 32, 32), area=5000)],
        [found(1, 3, (0, 0, 32, 32), 0.9)],
    ),
    "more than 100 of one digit": (
        [1],
        [truth(1, 3, BOX), truth(1, 4, BOX)],
        [found(1, 3, (200 + k, 10, 20, 40), 0.9 - k / 256) for k in range(100)]
        + [found(1, 3, BOX, 0.1), found(1, 4, BOX, 0.1)],
    ),
    "box without area": ([1], [truth(1, 3, (5, 5, 0, 9))], [found(1, 3, (5, 5, 0, 9), 0.5)]),
    "box outside the frame": ([1], [truth(1, 3, (-9, -9, 20, 40))], [found(1, 3, (-9, -9, 20, 41), 0.5)]),
}


@pytest.mark.parametrize("name", CASES)
def test_odd_cases_equal_pycocotools(name: str) -> None:
    if name == "no images":
        assert set(evaluate_boxes(label_set([], []), {}).figures.values()) == {-1.0}
    else:
        assert_equal_to_oracle(*CASES[name])


def random_data(
    seed: int, num_images: int, distinct_scores: bool = False
) -> tuple[list[Record], list[Record]]:
    """Digits of all sizes, some crowds; detections near them and elsewhere; many equal scores unless told."""
    generator = np.random.default_rng(seed)
    truths: list[Record] = []
    results: list[Record] = []
    for image_id in range(1, num_images + 1):
        for _ in range(generator.integers(0, 6)):
            size = generator.choice([8, 20, 31, 33, 60, 97, 130])
            box = np.array([*generator.integers(0, 200, 2), size // 2 + 1, size]).astype(float)
            digit = int(generator.integers(1, 5))
            area = float(generator.choice([-1, 900, 1100]))
            truths.append(truth(image_id, digit, box.tolist(), int(generator.random() < 0.1), area))
            for _ in range(generator.integers(0, 4)):
                near = box + np.round(generator.normal(0, size / 16, 4) * 4) / 4
                near[2:] = np.maximum(near[2:], 0.25)
                digit = digit if generator.random() < 0.8 else int(generator.integers(1, 11))
                results.append(found(image_id, digit, near.tolist(), float(generator.integers(0, 17) / 16)))
    generator.shuffle(results)
    if distinct_scores:
        for row, rank in zip(results, generator.permutation(len(results)), strict=True):
            row["score"] = (int(rank) + 1) / 4096
    return truths, results


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), num_images=st.integers(1, 12), restricted=st.booleans())
def test_random_data_equals_pycocotools(seed: int, num_images: int, restricted: bool) -> None:
    truths, results = random_data(seed, num_images)
    chosen = list(range(1, num_images + 1, 2)) if restricted else None
    assert_equal_to_oracle(list(range(num_images, 0, -1)), truths, results, chosen)


def near_data(seed: int, on_threshold: bool) -> tuple[list[Record], list[Record]]:
    """Boxes of decimals or of any floats, a tenth of them crowds.

    Detections overlap them by a threshold to the last bit or so, by three kinds of shift, or by anything.
    """
    generator = np.random.default_rng(seed)
    truths: list[Record] = []
    results: list[Record] = []
    for _ in range(60):
        image_id, digit = int(generator.integers(1, 9)), int(generator.integers(1, 4))
        x, y, width, height = generator.uniform(1, 90, 4)
        if on_threshold:
            x, y, width, height = (
                round(value, int(generator.integers(0, 4))) for value in (x, y, width, height)
            )
        iou = generator.choice(MIN_IOUS) if on_threshold else generator.uniform(0.4, 1)
        crowd = int(generator.random() < 0.1)
        aside = width * (1 - iou) if crowd else width * (1 - iou) / (1 + iou)
        box = [
            [x, y, width * iou, height],
            [x + width - width * iou, y, width * iou, height],
            [x + aside, y, width, height],
        ][generator.integers(3)]
        truths.append(truth(image_id, digit, [float(value) for value in (x, y, width, height)], crowd))
        results.append(found(image_id, digit, [float(value) for value in box], float(generator.random())))
    return truths, results


@pytest.mark.parametrize("on_threshold", [True, False], ids=["on thresholds", "any floats"])
@pytest.mark.parametrize("seed", range(40))
def test_overlaps_to_the_last_bit_equal_pycocotools(seed: int, on_threshold: bool) -> None:
    assert_equal_to_oracle(range(1, 9), *near_data(seed, on_threshold))


@pytest.mark.parametrize("seed", range(4))
def test_files_equal_pycocotools_to_the_last_bit(seed: int, tmp_path: Path) -> None:
    truths, results = near_data(seed, on_threshold=True)
    images = [{"id": i, "file_name": f"{i}.png", "width": 200, "height": 200} for i in range(1, 9)]
    rows = [{**row, "id": number} for number, row in enumerate(truths, start=1)]
    (tmp_path / "labels.json").write_text(json.dumps({"images": images, "annotations": rows}))
    (tmp_path / "pred.json").write_text(json.dumps(results))
    labels = read_labels(tmp_path / "labels.json", clip=False)
    ours = evaluate_boxes(labels, read_results(tmp_path / "pred.json", labels))
    assert_figures(ours, range(1, 9), truths, results)


def test_scores_apart_by_less_than_float32_are_ranked() -> None:
    results = [found(1, 3, (80, 80, 9, 9), 0.5), found(1, 3, BOX, 0.5 + 1e-12)]
    assert_equal_to_oracle([1], [truth(1, 3, BOX)], results)


def test_a_detector_and_a_view_have_no_file() -> None:
    """Boxes that were given anew count, not the file's; plain detections are scored as they are."""
    labels = label_set([1], [truth(1, 3, (0.1, 0.1, 0.7, 0.7))])
    moved = np.array([[100, 100, 120, 140]], np.float32)
    view = labels.with_images((replace(labels.images[0], boxes=moved),))
    plain = Detections(boxes=moved, labels=np.array([3]), scores=np.ones(1, np.float32))
    assert view.images[0].xywh.tolist() == [[100, 100, 20, 40]]
    assert evaluate_boxes(view, {1: plain}).mean_ap == pytest.approx(1)
    assert evaluate_boxes(labels, {1: plain}).mean_ap == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_weighted_image_counts_as_so_many_images(seed: int) -> None:
    num_images = 8
    truths, results = random_data(seed, num_images, distinct_scores=True)
    matches = match_boxes(label_set(range(1, num_images + 1), truths), detections(results))
    curves = PrecisionCurves(matches)
    for weights in image_weights(num_images, num_resamples=3, seed=seed):
        copies = [
            (image_id, copy) for image_id in range(1, num_images + 1) for copy in range(weights[image_id - 1])
        ]
        new_ids = {copy: number for number, copy in enumerate(copies, start=100)}
        more = [
            [
                {**row, "image_id": new}
                for (old, _), new in new_ids.items()
                for row in rows
                if row["image_id"] == old
            ]
            for rows in (truths, results)
        ]
        figures, _ = oracle(list(new_ids.values()), more[0], more[1], None)
        assert curves.mean_ap(weights) == pytest.approx(figures[0], abs=1e-9)


def test_images_that_labels_lack_are_an_error() -> None:
    labels = label_set([1], [truth(1, 3, BOX)])
    with pytest.raises(DataError, match=r"detections: 1 of 1 images are not in labels\.json, such as 7"):
        evaluate_boxes(labels, detections([found(7, 3, BOX, 0.5)]))
    with pytest.raises(DataError, match="image_ids: 1 of 2 images"):
        evaluate_boxes(labels, {}, [1, 7])


def test_what_goes_to_files_and_tables() -> None:
    metrics = evaluate_boxes(label_set([1], [truth(1, 3, BOX)]), detections([found(1, 3, BOX, 0.5)]))
    assert metrics.mean_ap == metrics.digit_ap["2"] == pytest.approx(1.0)
    assert json.loads(json.dumps(metrics.to_dict()))["digit_ap"]["0"] == -1
    assert dict(metrics.rows())["AP50"] == "1.0000"
    assert dict(metrics.rows())["AP of 0"] == "-"
    assert (metrics.num_images, metrics.num_truth, metrics.num_detections) == (1, 1, 1)


@pytest.mark.svhn
@pytest.mark.parametrize("name", ["fasterrcnn_mobilenet", "fasterrcnn_r50v2_a"])
def test_real_predictions_equal_pycocotools(name: str) -> None:
    folder = Path(os.environ["DIGITSPOT_SVHN"])
    chosen = json.loads((folder / "predictions" / "image_ids.json").read_text())
    labels = read_labels(folder / "test.json", clip=False)
    ours = evaluate_boxes(labels, read_results(folder / "predictions" / f"{name}.json", labels), chosen)
    raw = json.loads((folder / "test.json").read_text())
    results = json.loads((folder / "predictions" / f"{name}.json").read_text())
    figures, _ = oracle([image["id"] for image in raw["images"]], raw["annotations"], results, chosen)
    np.testing.assert_allclose(list(ours.figures.values()), figures, rtol=0, atol=1e-6)
