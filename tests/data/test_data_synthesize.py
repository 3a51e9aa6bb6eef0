"""Generated pictures: the same seed the same bytes, boxes true to the ink, test typefaces held out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitspot.data import typefaces
from digitspot.data.coco import read_labels
from digitspot.data.plates import Framing, draw_scene
from digitspot.data.synthesize import CLOSE, SPLITS, WIDE, choose_number, photograph_number, synthesize
from digitspot.data.typefaces import TEST_TYPEFACES, TRAIN_TYPEFACES, Typeface, font_of_height
from digitspot.errors import DataError, DigitspotError


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesized") / "data"
    synthesize(folder, train=12, valid=3, test=4, seed=7)
    return folder


def test_same_seed_same_bytes(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "again", train=12, valid=3, test=4, seed=7)
    assert contents(tmp_path / "again") == contents(made)


def test_other_seed_other_pictures(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "other", train=2, valid=0, test=0, seed=8)
    assert contents(tmp_path / "other")["train/1.png"] != contents(made)["train/1.png"]


def test_larger_split_begins_with_the_smaller(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "larger", train=14, valid=0, test=0, seed=7)
    larger, smaller = contents(tmp_path / "larger"), contents(made)
    assert all(larger[f"train/{i}.png"] == smaller[f"train/{i}.png"] for i in range(1, 13))


def test_layout_is_the_homeworks(made: Path) -> None:
    expected = {"train.json", "valid.json", "test.json"}
    for split, size in (("train", 12), ("valid", 3), ("test", 4)):
        expected |= {f"{split}/{i}.png" for i in range(1, size + 1)}
    assert set(contents(made)) == expected
    assert not list(made.parent.glob(".*"))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_labels_read_back(made: Path, split: str) -> None:
    for index, image in enumerate(read_labels(made / f"{split}.json").images):
        drawn = photograph_number(7, split, index)
        with Image.open(made / split / image.file_name) as picture:
            assert (picture.height, picture.width) == image.size_hw
            assert np.array_equal(np.asarray(picture), drawn.image)
        assert image.number == drawn.number
        np.testing.assert_allclose(image.boxes, drawn.boxes.reshape(-1, 4), atol=0.01)


def test_synthesize_returns_what_it_wrote(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    sets = synthesize(
        tmp_path / "d", train=2, valid=0, test=1, progress=lambda done, of: calls.append((done, of))
    )
    assert {name: len(labels) for name, labels in sets.items()} == {"train": 2, "test": 1}
    assert sets["test"].path == tmp_path / "d" / "test.json"
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        synthesize(tmp_path, train=1, valid=0, test=0)
    assert contents(tmp_path) == {"train.json": b"mine"}


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    synthesize(tmp_path / "new", train=1, valid=0, test=0)
    assert set(contents(tmp_path / "new")) == {"train.json", "train/1.png"}


@pytest.mark.parametrize("framing", [CLOSE, WIDE], ids=["close", "wide"])
@pytest.mark.parametrize("text", ["7", "1", "042", "1189"])
def test_ink_fills_its_box(text: str, framing: Framing) -> None:
    """In the clean rendering: no ink beyond 1 px outside of the box, and ink within 1 px of every side."""
    for seed in range(15):
        scene = draw_scene(np.random.default_rng(seed), text, (*TRAIN_TYPEFACES, *TEST_TYPEFACES), framing)
        assert scene.boxes.shape == (len(text), 4)
        for box, ink in zip(scene.boxes, scene.inks, strict=True):
            rows, columns = np.nonzero(ink >= 0.1)
            drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            np.testing.assert_allclose(box, drawn, atol=1.0)


def test_ink_is_on_the_picture() -> None:
    """What the masks say is what was painted: the ink has one colour, unlike its surroundings."""
    for seed in range(20):
        scene = draw_scene(np.random.default_rng(seed), "8", TRAIN_TYPEFACES, CLOSE)
        painted = scene.image[scene.inks[0] > 0.999]
        assert len(painted)
        assert painted.std(axis=0).max() < 1
        assert np.abs(scene.image[scene.inks[0] == 0].mean(axis=0) - painted.mean(axis=0)).max() > 20


def test_boxes_stay_in_the_picture_and_in_order() -> None:
    for split in SPLITS:
        for index in range(60):
            picture = photograph_number(1, split, index)
            height, width = picture.image.shape[:2]
            assert len(picture.boxes) == len(picture.number or "")
            assert (picture.boxes >= 0).all()
            assert (picture.boxes[:, 2] <= width).all()
            assert (picture.boxes[:, 3] <= height).all()
            assert (np.diff(picture.boxes[:, 0] + picture.boxes[:, 2]) > 0).all()


def test_sizes_are_like_svhn() -> None:
    """SVHN's medians (width, height, digit height): train 104, 47, 29; test 132, 53, 24."""
    for split, expected in (("train", (104, 47, 29)), ("test", (132, 53, 24))):
        pictures = [photograph_number(0, split, index) for index in range(150)]
        boxes = np.concatenate([picture.boxes for picture in pictures])
        sizes = [picture.image.shape[1::-1] for picture in pictures]
        medians = (*np.median(sizes, axis=0), np.median(boxes[:, 3] - boxes[:, 1]))
        np.testing.assert_allclose(medians, expected, rtol=0.2)


def test_numbers_have_all_lengths_digits_zeros_and_none() -> None:
    numbers = [choose_number(np.random.default_rng(seed)) for seed in range(3000)]
    real = [number for number in numbers if number is not None]
    assert 0.02 < 1 - len(real) / len(numbers) < 0.06
    assert {len(number) for number in real} == {1, 2, 3, 4}
    counts = np.bincount([int(digit) for number in real for digit in number], minlength=10)
    assert counts.min() > 0.6 * counts.mean()
    assert any(number[0] == "0" for number in real if len(number) > 1)


def test_test_families_are_held_out() -> None:
    train, test = ({typeface.family for typeface in group} for group in (TRAIN_TYPEFACES, TEST_TYPEFACES))
    assert train.isdisjoint(test)
    assert SPLITS["train"].typefaces == SPLITS["valid"].typefaces == TRAIN_TYPEFACES
    assert SPLITS["test"].typefaces == TEST_TYPEFACES


@pytest.mark.parametrize(
    "typeface", [*TRAIN_TYPEFACES, *TEST_TYPEFACES], ids=lambda typeface: Path(typeface.file).stem
)
def test_typeface_has_ten_different_digits(typeface: Typeface) -> None:
    font = font_of_height(typeface, 40)
    assert len({bytes(font.getmask(digit)) for digit in "0123456789"}) == 10
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    assert bottom - top == pytest.approx(40, abs=2)
    assert f"| {typeface.licence} |" in str(typefaces.__doc__)


def test_missing_package_names_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Typeface(family="Absent", package="font_absent", file="files/A.ttf", licence="OFL-1.1")
    kind = SPLITS["train"]
    monkeypatch.setitem(SPLITS, "train", type(kind)(stream=0, typefaces=(absent,), framing=CLOSE))
    with pytest.raises(DigitspotError, match="font-absent") as caught:
        synthesize(tmp_path / "d", train=1, valid=0, test=0)
    assert "pip install 'digitspot[synth]'" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())
