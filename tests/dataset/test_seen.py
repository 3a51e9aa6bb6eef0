"""What a model was trained on: known again by its labels, and refused as a validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitspot.config import Config, DataConfig
from digitspot.dataset.seen import Seen, _key, unseen
from digitspot.dataset.splits import TrainingData, open_training
from digitspot.errors import DataError
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import CategoryMap, LabelledImage, LabelSet


def opened(data: Path, root: Path, **changes: object) -> TrainingData:
    config = DataConfig(pack_root=str(root), **changes)  # type: ignore[arg-type]
    return open_training(data, Config(data=config))


@pytest.mark.parametrize(
    "changes",
    [{}, {"strategy": "files"}, {"longest_side": 40}, {"strategy": "prepared", "parts": 2}],
    ids=["pack", "files", "reduced", "prepared"],
)
def test_the_images_of_a_training_are_known_again(
    changes: dict[str, object], small_data: Path, tmp_path: Path
) -> None:
    seen = opened(small_data, tmp_path, **changes).seen
    assert len(seen.keys) == 24
    for name, expected in (("train", 24), ("valid", 0), ("test", 0)):
        labels = read_labels(small_data / f"{name}.json", clip=False)
        assert len(seen.among(labels)) == expected, name


def test_of_merged_validation_only_the_untouched_slice_is_unseen(small_data: Path, tmp_path: Path) -> None:
    data = opened(small_data, tmp_path, merge_valid=True, untouched_fraction=0.25)
    labels = read_labels(small_data / "valid.json", clip=False)
    untouched = set(data.valid.image_ids[data.valid_indices].tolist())
    everything = {image.image_id for image in labels.images}
    assert data.seen.among(labels) == everything - untouched
    with pytest.raises(DataError, match="trained on 6 of these 8 images") as refusal:
        unseen(data.seen, labels, None, only_unseen=False)
    assert refusal.value.hint == "--only-unseen scores the other 2."
    assert unseen(data.seen, labels, None, only_unseen=True) == untouched
    assert unseen(data.seen, labels, untouched, only_unseen=False) == untouched
    train = read_labels(small_data / "train.json", clip=False)
    with pytest.raises(DataError, match="trained on 24 of these 24"):
        unseen(data.seen, train, None, only_unseen=True)
    assert unseen(Seen(), train, {1, 2}, only_unseen=False) == {1, 2}, "nothing is known"


def test_fewer_images_are_the_same_ones_each_time(small_data: Path, tmp_path: Path) -> None:
    chosen = [opened(small_data, tmp_path, images=images) for images in (5, 5, 9, 99)]
    names = [data.samples.file_names.tolist() for data in chosen]
    assert [len(set(each)) for each in names] == [5, 5, 9, 24]
    assert names[0] == names[1]
    assert set(names[0]) < set(names[2]), "more images are those and others"
    assert len(chosen[0].seen.keys) == 5
    assert len(chosen[0].valid) == 8


def test_another_data_set_is_trained_on_besides(small_data: Path, tmp_path: Path) -> None:
    """Its images come after the data set's own, its ids do not collide, and they are remembered as seen."""
    other = tmp_path / "other"
    labels = read_labels(small_data / "valid.json")
    write_labels(replace(labels, categories=CategoryMap((10, *range(1, 10)))), other / "train.json")
    (other / "train").symlink_to(small_data / "valid")
    for strategy in ("pack", "files", "prepared"):
        data = opened(small_data, tmp_path / "packs", also=(str(other),), strategy=strategy, parts=2)
        alone = opened(small_data, tmp_path / "packs", strategy=strategy, parts=2)
        assert (data.samples.num_own, len(data.samples)) == (24, 32)
        assert len(set(data.samples.image_ids.tolist())) == 32
        assert data.samples.categories == alone.samples.categories
        np.testing.assert_array_equal(data.samples.image(3), alone.samples.image(3))
        assert data.samples.file_names[24:].tolist() != data.samples.file_names[:8].tolist()
        assert len(data.seen.keys) == 32
        assert len(data.seen.among(labels)) == 8


def test_images_without_a_number_may_be_trained_on_besides(small_data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    labels = read_labels(small_data / "valid.json")
    write_labels(labels.with_boxes(np.zeros(len(labels.boxes), bool)), other / "train.json")
    (other / "train").symlink_to(small_data / "valid")
    for strategy in ("pack", "files", "parts", "prepared"):
        data = opened(small_data, tmp_path / "packs", also=(str(other),), strategy=strategy, parts=2)
        assert [len(data.samples.labels(index)) for index in range(24, 32)] == [0] * 8
    with pytest.raises(DataError, match="no image has a usable box"):
        opened(other, tmp_path / "packs")
    crowds = tmp_path / "crowds"
    write_labels(replace(labels, crowd=np.ones(len(labels.boxes), bool)), crowds / "train.json")
    (crowds / "train").symlink_to(small_data / "valid")
    with pytest.raises(DataError, match="set iscrowd to 0"):
        opened(small_data, tmp_path / "packs", also=(str(crowds),))


def test_a_data_set_that_stands_many_times_is_opened_once(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = opened(small_data, tmp_path / "packs", also=(str(small_data),) * 3)
    assert len(set(data.samples.image_ids.tolist())) == len(data.samples) == 4 * 24
    np.testing.assert_array_equal(data.samples.image(3), data.samples.image(75))
    assert len(data.seen.keys) == 24
    assert capsys.readouterr().err.count("train: 24 images") == 1


def test_a_key_is_of_what_the_labels_say(tmp_path: Path) -> None:
    """The frame may have cut boxes or not, and the file may have been written again."""
    boxes = np.array([[-3, 2.1, 10.251, 30], [12, -1, 20, 50], [60, 1, 70, 9]], np.float32)
    image = LabelledImage(
        image_id=7,
        file_name="a/1.png",
        size_hw=(40, 60),
        boxes=boxes,
        labels=np.array([1, 2, 3]),
        areas=np.ones(3),
        crowd=np.zeros(3, np.bool_),
    )
    cut = replace(
        image,
        boxes=np.array([[0, 2.1, 10.251, 30], [12, 0, 20, 40]], np.float32),
        labels=np.array([1, 2]),
        areas=np.ones(2),
        crowd=np.zeros(2, np.bool_),
    )
    one, other = (
        LabelSet.of((each,), categories=CategoryMap.homework(), path=tmp_path / "x.json")
        for each in (image, cut)
    )
    write_labels(one, tmp_path / "again.json")
    seen = {name: key_of(labels) for name, labels in (("uncut", one), ("cut", other))}
    seen["again"] = key_of(read_labels(tmp_path / "again.json", clip=False))
    assert len(set(seen.values())) == 1, seen
    moved = replace(cut, boxes=cut.boxes + np.float32(0.5))
    assert key_of(other.with_images((moved,))) != seen["cut"]
    assert key_of(other.with_images((replace(cut, file_name="2.png"),))) != seen["cut"]


def key_of(labels: LabelSet) -> int:
    [image] = labels.images
    return _key(image.file_name, image.size_hw, image.boxes, image.labels)


def test_text_comes_back(tmp_path: Path) -> None:
    seen = Seen(frozenset({0, 5, 2**64 - 1}))
    assert Seen.from_text(seen.to_text(), tmp_path) == seen
    for text in ("?", "AAAA"):
        with pytest.raises(DataError, match="does not say what a model was trained on"):
            Seen.from_text(text, tmp_path / "trained-on.txt")


def test_images_without_boxes_alone_are_not_known() -> None:
    """Many have the same name and size, as 7.png of two cameras."""
    nothing, number = (
        LabelledImage(
            image_id=num,
            file_name=f"{num}.png",
            size_hw=(40, 60),
            boxes=np.array([[2, 2, 9, 20]], np.float32)[:num],
            labels=np.ones(num, np.int64),
            areas=np.ones(num),
            crowd=np.zeros(num, bool),
        )
        for num in (0, 1)
    )
    seen = Seen(
        frozenset(_key(each.file_name, (40, 60), each.boxes, each.labels) for each in (nothing, number))
    )
    for images, known in (([nothing], set()), ([nothing, number], {0, 1})):
        labels = LabelSet.of(images, categories=CategoryMap.homework(), path=Path("labels.json"))
        assert seen.among(labels) == known
