"""Label files: what is read, what is refused and with which words."""

import bz2
import contextlib
import copy
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitspot.errors import DataError
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import CategoryMap

Edit = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 204, "file_name": "204.png", "width": 100, "height": 50},
            {"id": 7, "file_name": "7.png", "width": 30, "height": 20},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4], "area": 11, "iscrowd": 1},
            {"id": 2, "image_id": 204, "category_id": 10, "bbox": [10.5, 0, 8, 50]},
        ],
        "categories": [{"id": digit + 1, "name": str(digit)} for digit in range(10)],
    }


def written(tmp_path: Path, content: Any, name: str = "labels.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_reading_keeps_order_and_values(tmp_path: Path) -> None:
    labels = read_labels(written(tmp_path, document()))
    first, second = labels.images
    assert (first.image_id, first.file_name, first.size_hw, first.number) == (204, "204.png", (50, 100), "9")
    assert first.boxes.tolist() == [[10.5, 0, 18.5, 50]]
    assert (first.areas.tolist(), first.crowd.tolist()) == ([400], [False])
    assert (second.areas.tolist(), second.crowd.tolist(), second.number) == ([11], [True], None)
    assert (labels.notes, labels.categories) == ({}, CategoryMap.homework())


def test_image_without_boxes_is_fine(tmp_path: Path) -> None:
    content = document() | {"annotations": []}
    for image in read_labels(written(tmp_path, content)).images:
        assert (image.boxes.shape, image.labels.shape, image.number) == ((0, 4), (0,), None)


def test_without_categories_the_homework_map_holds(tmp_path: Path) -> None:
    for content in (
        {k: v for k, v in document().items() if k != "categories"},
        document() | {"categories": []},
    ):
        assert read_labels(written(tmp_path, content)).categories == CategoryMap.homework()


def test_names_of_categories_decide(tmp_path: Path) -> None:
    categories = [{"id": digit or 10, "name": digit} for digit in range(10)]
    labels = read_labels(written(tmp_path, document() | {"categories": categories}))
    assert [image.labels.tolist() for image in labels.images] == [[1], [6]]  # 10 is the digit 0, 5 is 5


@pytest.mark.parametrize(
    ("box", "clipped", "notes", "reason"),
    [
        ([90, 10, 20, 60], [[90, 10, 100, 50]], {"boxes clipped to the frame": 1}, "over two edges"),
        ([-5, -5, 10, 10], [[0, 0, 5, 5]], {"boxes clipped to the frame": 1}, "before the origin"),
        ([100, 0, 5, 5], [], {"boxes dropped, empty after clipping": 1}, "touches the frame from outside"),
        ([-9, 0, 5, 5], [], {"boxes dropped, empty after clipping": 1}, "wholly outside"),
        ([99.9, 0, 0.1001, 5], [[99.9, 0, 100, 5]], {}, "a rounding error is no note"),
        ([0, 0, 100, 50], [[0, 0, 100, 50]], {}, "all of the frame"),
    ],
)
def test_clipping(
    box: list[float], clipped: list[list[float]], notes: dict[str, int], reason: str, tmp_path: Path
) -> None:
    content = document()
    content["annotations"] = [{"id": 1, "image_id": 204, "category_id": 1, "bbox": box}]
    path = written(tmp_path, content)
    labels = read_labels(path)
    assert np.allclose(labels.images[0].boxes, np.reshape(clipped, (-1, 4)), atol=1e-5), reason
    assert labels.notes == notes, reason
    raw = read_labels(path, clip=False)
    x, y, width, height = box
    assert np.allclose(raw.images[0].boxes, [[x, y, x + width, y + height]], atol=1e-5)
    assert raw.images[0].areas[0] == pytest.approx(width * height)
    assert raw.notes == {}


@pytest.mark.parametrize("clip", [False, True])
def test_boxes_are_also_kept_to_the_last_bit(clip: bool, tmp_path: Path) -> None:
    content = document()
    content["annotations"] = [
        {"id": 1, "image_id": 204, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 1 / 3]},
        {"id": 2, "image_id": 204, "category_id": 1, "bbox": [90, 10, 20, 20]},
    ]
    image = read_labels(written(tmp_path, content), clip=clip).images[0]
    assert image.xywh.dtype == np.float64
    assert image.xywh.tolist() == [[0.1, 0.2, 0.3, 1 / 3], [90, 10, 10 if clip else 20, 20]]


def edit_annotation(**values: Any) -> Edit:
    return lambda content: content["annotations"][1].update(values)


def edit_image(**values: Any) -> Edit:
    return lambda content: content["images"][0].update(values)


ODD_LABELS: list[tuple[str, Edit]] = [
    (
        "ids as 7.0",
        lambda content: content["annotations"][1].update(id=2.0, image_id=204.0, category_id=10.0),
    ),
    ("image id and size as 204.0", edit_image(id=204.0, width=100.0, height=50.0)),
    (
        "category ids as 1.0",
        lambda content: [row.update(id=float(row["id"])) for row in content["categories"]],
    ),
    ("crowd as 0.0", edit_annotation(iscrowd=0.0)),
    ("area is null", edit_annotation(area=None)),
    ("crowd is null", edit_annotation(iscrowd=None)),
]
"""What common exporters write; none of it changes what is read."""


@pytest.mark.parametrize(("reason", "edit"), ODD_LABELS, ids=[row[0] for row in ODD_LABELS])
def test_what_exporters_write(reason: str, edit: Edit, tmp_path: Path) -> None:
    content = document()
    edit(content)
    plain, odd = read_labels(written(tmp_path, document())), read_labels(written(tmp_path, content))
    assert odd.categories == plain.categories
    for one, other in zip(plain.images, odd.images, strict=True):
        assert json.dumps(vars(one), default=np.ndarray.tolist) == json.dumps(
            vars(other), default=np.ndarray.tolist
        )


BAD_LABELS: list[tuple[str, Edit, str]] = [
    (
        "negative width",
        edit_annotation(id=1873, bbox=[1, 1, -3, 5]),
        r"^{path}: annotation 1873 has width -3 \(image 204, 204\.png\)$",
    ),
    ("zero height", edit_annotation(bbox=[1, 1, 3, 0]), r"annotation 2 has height 0 \(image 204"),
    (
        "NaN",
        edit_annotation(bbox=[1, float("nan"), 3, 4]),
        r"annotation 2 has bbox \[1, NaN, 3, 4\]; .* finite",
    ),
    ("infinity", edit_annotation(bbox=[1, 2, 1e999, 4]), r"bbox \[1, 2, Infinity, 4\]"),
    (
        "huge whole number",
        edit_annotation(bbox=[1, 2, 10**400, 4]),
        r"has bbox \[1, 2, 1000.*\.\.\.; it must",
    ),
    ("text in a box", edit_annotation(bbox=["1", 2, 3, 4]), r'bbox \["1", 2, 3, 4\]'),
    ("true in a box", edit_annotation(bbox=[True, 2, 3, 4]), "four finite numbers"),
    ("three numbers", edit_annotation(bbox=[1, 2, 3]), "four finite numbers"),
    ("box is null", edit_annotation(bbox=None), "has bbox null"),
    ("unknown category", edit_annotation(category_id=11), r"annotation 2 has category_id 11 .*known are 0=1"),
    ("category as text", edit_annotation(category_id="1"), 'category_id "1"; it must be a whole number'),
    (
        "unknown image",
        edit_annotation(image_id=8),
        "annotation 2 belongs to image 8, which the file does not list",
    ),
    ("image id as a fraction", edit_annotation(image_id=7.5), "has image_id 7.5; it must be a whole number"),
    ("crowd as a fraction", edit_annotation(iscrowd=0.5), "has iscrowd 0.5; it must be 0 or 1"),
    ("image is null", edit_annotation(image_id=None), "has image_id null"),
    ("width is infinite", edit_image(width=float("inf")), "has width Infinity"),
    ("bad image, id as 204.0", edit_image(id=204.0, width=0), "image 204 has width 0"),
    ("image as true", edit_annotation(image_id=True), "has image_id true"),
    ("negative area", edit_annotation(area=-1), "has area -1"),
    ("crowd is 2", edit_annotation(iscrowd=2), "has iscrowd 2; it must be 0 or 1"),
    ("annotation id twice", edit_annotation(id=1), "annotation 1 stands twice"),
    ("id beyond 64 bits", edit_annotation(id=2**63), "has id 9223372036854775808"),
    ("no bbox", lambda content: content["annotations"][1].pop("bbox"), "annotation 2 has no bbox"),
    (
        "annotation is a list",
        lambda content: content["annotations"].append([]),
        r"annotations\[2\] is \[\], not",
    ),
    ("image id twice", edit_image(id=7), r"image 7 stands twice"),
    ("width 0", edit_image(width=0), "image 204 has width 0; it must be a whole number above 0"),
    ("height as a fraction", edit_image(height=1.5), "image 204 has height 1.5"),
    ("no file name", lambda content: content["images"][0].pop("file_name"), "image 204 has no file_name"),
    ("empty file name", edit_image(file_name=""), 'has file_name ""'),
    ("file name leaves the folder", edit_image(file_name="../x.png"), "inside the image folder"),
    ("absolute file name", edit_image(file_name="/x.png"), "inside the image folder"),
    ("name with a drive", edit_image(file_name="C:x.png"), "inside the image folder"),
    ("images is an object", lambda content: content.update(images={}), r"images is \{\}, not a list"),
    ("no images", lambda content: content.update(images=[], annotations=[]), "lists no images"),
    ("no annotations key", lambda content: content.pop("annotations"), "not COCO labels"),
    (
        "category is no digit",
        lambda content: content["categories"][0].update(name="house"),
        "not a digit 0-9",
    ),
    ("category twice", lambda content: content["categories"][0].update(name="1"), "stands twice"),
    (
        "category without a name",
        lambda content: content["categories"][0].pop("name"),
        "category 1 has no name",
    ),
    ("categories is text", lambda content: content.update(categories="digits"), 'categories is "digits"'),
]


@pytest.mark.parametrize(("reason", "edit", "message"), BAD_LABELS, ids=[row[0] for row in BAD_LABELS])
def test_bad_labels(reason: str, edit: Edit, message: str, tmp_path: Path) -> None:
    content = copy.deepcopy(document())
    edit(content)
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message.replace("{path}", str(path))) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.hint == f"`digitspot data check {path}` lists all."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (json.dumps(document(), indent=1)[:200], "is cut off: .* at line 17, column 4"),
        ('{"images": [], "annota', "is cut off: .* at line 1, column 16"),
        ("{'images': []}", "is not JSON: .* at line 1, column 2"),
        ("[]", "not COCO labels"),
        ("3", "not COCO labels"),
        ("null", "not COCO labels"),
        ("[" * 100_000, "is not JSON that can be read|is cut off"),
        ("1" * 5000, "is not JSON that can be read"),
    ],
    ids=range(9),
)
def test_bad_json(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(written(tmp_path, text))


COMPRESSED = [
    ("a.json.gz", gzip.compress(b"{}"), "gzip"),
    ("a.json.bz2", bz2.compress(b"{}"), "bzip2"),
    ("a.json.xz", lzma.compress(b"{}"), "xz"),
    ("a.zip", b"PK\x03\x04", "zip"),
    ("a.json.zst", b"\x28\xb5\x2f\xfd", "zstd"),
]


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match="not a text file"):
        read_labels(tmp_path / "a.json")
    for name, start, kind in COMPRESSED:
        (tmp_path / name).write_bytes(start + b"\xff\x00")
        with pytest.raises(DataError, match=rf"{name}: is compressed \({kind}\)$") as caught:
            read_labels(tmp_path / name)
        assert caught.value.hint == "Unpack it first."
    with pytest.raises(DataError, match="no such file"):
        read_labels(tmp_path / "gone.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path)


def test_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert len(read_labels(written(tmp_path, "\ufeff" + json.dumps(document())))) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), JSON)
def test_anything_in_any_place_is_read_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: Any
) -> None:
    content: Any = document()
    place = data.draw(st.sampled_from([("images",), ("annotations",), ("categories",)]))
    if data.draw(st.booleans()):
        place += (data.draw(st.integers(0, 1)),)
        if data.draw(st.booleans()):
            row = content[place[0]][place[1]]
            place += (data.draw(st.sampled_from(sorted(row))),)
    target = content
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    path = written(tmp_path_factory.mktemp("any"), content)
    with contextlib.suppress(DataError):
        for image in read_labels(path).images:
            assert np.isfinite(image.boxes).all()
            assert ((image.labels >= 1) & (image.labels <= 10)).all()
