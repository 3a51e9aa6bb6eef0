"""Written files come back as they were; results, number files and splits that cannot be used are named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.errors import DataError
from digitspot.labels.coco import find_split, read_labels, write_labels
from digitspot.labels.labels import CategoryMap, FileDetections, LabelledImage, LabelSet
from digitspot.labels.results import read_numbers, read_results, write_numbers, write_results
from digitspot.types import Detections


def label_set(path: Path) -> LabelSet:
    """Images 204 and 7, without boxes."""
    images = tuple(
        LabelledImage(
            image_id=image_id,
            file_name=f"{image_id}.png",
            size_hw=(50, 100),
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int64),
            areas=np.zeros(0),
            crowd=np.zeros(0, bool),
        )
        for image_id in (204, 7)
    )
    return LabelSet.of(images, categories=CategoryMap.homework(), path=path)


def written(tmp_path: Path, content: Any, name: str) -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@st.composite
def images(draw: st.DrawFn) -> tuple[LabelledImage, ...]:
    result = []
    for image_id in draw(st.lists(st.integers(-5, 2**40), min_size=1, max_size=4, unique=True)):
        height, width = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
        share = st.floats(0, 1, width=32)
        corners = draw(st.lists(st.tuples(share, share, share, share), max_size=5))
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        boxes[:, 2:] = boxes[:, :2] * 0.9 + 0.05 + boxes[:, 2:] * 0.05
        boxes[:, :2] *= 0.9
        boxes *= np.array([width, height, width, height], np.float32)
        digits = st.lists(st.integers(1, 10), min_size=len(boxes), max_size=len(boxes))
        result.append(
            LabelledImage(
                image_id=image_id,
                file_name=f"{image_id}.png",
                size_hw=(height, width),
                boxes=boxes,
                labels=np.array(draw(digits), np.int64),
                areas=((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(np.float64),
                crowd=np.array(draw(digits), np.int64) > 9,
            )
        )
    return tuple(result)


@given(images(), st.permutations(range(1, 11)))
def test_labels_round_trip(
    tmp_path_factory: pytest.TempPathFactory, samples: tuple[LabelledImage, ...], ids: list[int]
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    before = LabelSet.of(samples, categories=CategoryMap(tuple(ids)), path=path)
    write_labels(before, path)
    after = read_labels(path)
    assert (after.categories, after.notes) == (before.categories, {})
    for old, new in zip(before.images, after.images, strict=True):
        assert (old.image_id, old.file_name, old.size_hw) == (new.image_id, new.file_name, new.size_hw)
        assert np.allclose(old.boxes, new.boxes, rtol=0, atol=2e-3)
        assert np.allclose(old.areas, new.areas, rtol=1e-6, atol=1e-3)
        assert np.array_equal(old.labels, new.labels)
        assert np.array_equal(old.crowd, new.crowd)
    second = path.with_name("again.json")
    write_labels(after, second)
    assert second.read_bytes() == path.read_bytes()


@given(images(), st.data())
def test_results_round_trip(
    tmp_path_factory: pytest.TempPathFactory, samples: tuple[LabelledImage, ...], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("results") / "pred.json"
    labels = LabelSet.of(samples, categories=CategoryMap.homework(), path=path)
    score = st.floats(0, 1, width=32)
    before = {}
    for image in reversed(samples):
        scores = data.draw(st.lists(score, min_size=len(image.boxes), max_size=len(image.boxes)))
        before[image.image_id] = Detections(
            boxes=image.boxes, labels=image.labels, scores=np.array(scores, np.float32)
        )
    write_results(path, before.items(), labels.categories)
    after = read_results(path, labels)
    assert list(after) == [image_id for image_id, found in before.items() if len(found)]
    for image_id, new in after.items():
        assert np.allclose(before[image_id].boxes, new.boxes, rtol=0, atol=2e-3)
        assert np.array_equal(before[image_id].labels, new.labels)
        assert np.array_equal(before[image_id].scores, new.scores)  # to the last bit: the ranking stays


def row(**values: Any) -> dict[str, Any]:
    return {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5} | values


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"images": []}, "not COCO results"),
        ([row(), row(image_id=8)], r"results\[1\] is of image 8, which .*labels\.json does not list"),
        ([row(image_id=7.5)], r"results\[0\] has image_id 7\.5; it must be a whole number"),
        ([row(category_id=0)], r"results\[0\] has category_id 0; known are 0=1"),
        ([row(bbox=[1, 2, -3, 4])], r"results\[0\] has width -3 \(image 7\)"),
        ([row(bbox=[1, 2, float("nan"), 4])], r"results\[0\] has bbox \[1, 2, NaN, 4\]"),
        ([row(score=1.5)], "has score 1.5; it must be a number from 0 to 1"),
        ([row(score="0.5")], 'has score "0.5"'),
        ([row(score=True)], "has score true"),
        ([{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}], "has no score"),
        ([None], r"results\[0\] is null, not an object"),
    ],
)
def test_bad_results(rows: Any, message: str, tmp_path: Path) -> None:
    labels = label_set(tmp_path / "labels.json")
    with pytest.raises(DataError, match=message) as caught:
        read_results(written(tmp_path, rows, "pred.json"), labels)
    assert caught.value.hint


def test_results_keep_order_and_boxes_as_they_are(tmp_path: Path) -> None:
    labels = label_set(tmp_path / "labels.json")
    rows = [row(score=0.2), row(image_id=204), row(score=0.9, bbox=[-5, 2, 900, 0])]
    found = read_results(written(tmp_path, rows, "pred.json"), labels)
    assert list(found) == [7, 204]
    assert found[7].scores.tolist() == pytest.approx([0.2, 0.9])
    assert found[7].boxes[1].tolist() == [-5, 2, 895, 2]
    odd = written(
        tmp_path, [row(image_id=7.0, category_id=1.0, score=1, bbox=[0.1, 0.2, 0.3, 1 / 3])], "odd.json"
    )
    kept = read_results(odd, labels)[7]
    assert isinstance(kept, FileDetections)
    assert (kept.xywh.tolist(), kept.file_scores.tolist()) == ([[0.1, 0.2, 0.3, 1 / 3]], [1])
    assert (kept.boxes.dtype, kept.scores.dtype, len(kept.select(np.array([0])))) == (
        np.float32,
        np.float32,
        1,
    )
    assert read_results(written(tmp_path, [], "none.json"), labels) == {}


def test_results_are_compact_and_finite(tmp_path: Path) -> None:
    path = tmp_path / "pred.json"
    one = Detections(
        boxes=np.array([[1, 2, 4.12345, 6]], np.float32),
        labels=np.array([3]),
        scores=np.array([0.1], np.float32),
    )
    write_results(path, [(5, one), (6, Detections.empty())], CategoryMap.homework())
    assert path.read_text() == '[{"image_id":5,"category_id":3,"bbox":[1,2,3.123,4],"score":0.1}]'
    one.boxes[0, 0] = np.nan
    with pytest.raises(DataError, match="image 5 has a detection that is not finite"):
        write_results(path, [(5, one)], CategoryMap.homework())
    assert "3.123" in path.read_text()  # what stood there is still there


def test_numbers_are_strings_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "pred.csv"
    write_numbers(path, [(1, "042"), (2, None), (3, "7")])
    assert path.read_bytes() == b"image_id,pred_label\n1,042\n2,-1\n3,7\n"
    assert read_numbers(path) == {"1": "042", "2": None, "3": "7"}
    write_numbers(path, [("a,b.png", "0")])
    assert read_numbers(path) == {"a,b.png": "0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,42\n", "the first line must be image_id,pred_label"),
        ("image_id,pred_label\n1,42.0\n", "line 2 has pred_label '42.0'"),
        ("image_id,pred_label\n1,4\n\n2,\n", "line 4 has pred_label ''"),
        ("image_id,pred_label\n1\n", "line 2 has pred_label ''"),
        ("image_id,pred_label\n1,²\n", "line 2 has pred_label '²'"),
        ("image_id,pred_label\n1,4\n1,5\n", "line 3: image_id 1 stands twice"),
        ('image_id,pred_label\n1,"4\n', "not a CSV file"),
        ("", "the file is empty"),
    ],
)
def test_bad_numbers(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_numbers(written(tmp_path, text, "pred.csv"))


def test_numbers_from_a_spreadsheet(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffimage_id,pred_label\r\n1, 042\r\n", "pred.csv")
    assert read_numbers(path) == {"1": "042"}


def test_find_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_split(tmp_path / "gone", "train")
    with pytest.raises(DataError, match=r"no train\.json and no train/; there is nothing"):
        find_split(tmp_path, "train")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match=r"no train\.json; there is test/, train/"):
        find_split(tmp_path, "train")
    path = written(tmp_path, {}, "train.json")
    split = find_split(tmp_path, "train")
    assert (split.labels_path, split.images_dir, split.has_labels) == (path, tmp_path / "train", True)
    assert not find_split(tmp_path, "test").has_labels
    capitals = written(tmp_path, {}, "test.JSON")
    assert find_split(tmp_path, "test").labels_path == capitals
