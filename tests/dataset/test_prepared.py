"""Where images come from changes nothing: files are a pack's images, prepared ones its first epoch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pack_split import write_split
from PIL import Image

from digitspot.config import AugmentConfig
from digitspot.dataset.augment import augment_sample
from digitspot.dataset.image_files import ImageFiles
from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.pack_plan import plan_pack
from digitspot.dataset.prepared import open_or_prepare
from digitspot.dataset.samples import Merged
from digitspot.errors import DataError

PHOTO = AugmentConfig(preset="photo")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")


@pytest.mark.parametrize("longest_side", [None, 15])
def test_files_are_the_images_of_the_pack(longest_side: int | None, tmp_path: Path) -> None:
    labels, folder = write_split(tmp_path), tmp_path / "train"
    pack = open_or_build(labels, folder, tmp_path / "packs", longest_side=longest_side)
    files = ImageFiles(plan_pack(labels, folder, tmp_path, longest_side=longest_side), labels, folder)
    assert len(files) == len(pack)
    np.testing.assert_array_equal(files.image_ids, pack.image_ids)
    for i in range(len(pack)):
        np.testing.assert_array_equal(files.image(i), pack.image(i))
        np.testing.assert_array_equal(files.stored_boxes(i), pack.stored_boxes(i))
        np.testing.assert_array_equal(files.labels(i), pack.labels(i))


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    labels, folder = write_split(tmp_path), tmp_path / "train"
    files = ImageFiles(plan_pack(labels, folder, tmp_path), labels, folder)
    path = folder / str(files.file_names[4])
    Image.new("RGB", (3, 3)).save(path)
    with pytest.raises(DataError, match=rf"{path.name}: the image is 3 x 3"):
        files.image(4)
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read"):
        files.image(4)


def test_prepared_is_the_first_epoch_frozen(pack: Pack, tmp_path: Path) -> None:
    prepared = open_or_prepare(pack, PHOTO, 3, tmp_path / "packs")
    unchanged = AugmentConfig(preset="none")
    for i in range(len(pack)):
        expected = augment_sample(pack, i, pack.image(i), PHOTO, seed=3, epoch=0)
        found = augment_sample(prepared, i, prepared.image(i), unchanged, seed=3, epoch=5)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)
    assert any(pack.image(i).shape != prepared.image(i).shape for i in range(len(pack)))


def test_prepared_once_for_the_same_images_and_settings(pack: Pack, tmp_path: Path) -> None:
    def prepare(config: AugmentConfig, seed: int) -> tuple[Path, int]:
        done: list[int] = []
        made = open_or_prepare(pack, config, seed, tmp_path / "packs", lambda num, _: done.append(num))
        return made.path, len(done)

    first, num = prepare(PHOTO, 0)
    assert num == len(pack)
    assert prepare(PHOTO, 0) == (first, 0)
    assert prepare(PHOTO, 1)[0] != first
    assert prepare(AugmentConfig(preset="seed"), 0)[0] != first
    (first / "shard-00000.rgb").unlink()
    assert prepare(PHOTO, 0) == (first, len(pack)), "a damaged one is made again"


@pytest.mark.parametrize(
    ("indices", "reason"),
    [
        ([], "none"),
        ([5], "one"),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "all"),
        ([0, 2, 3, 7, 11], "with gaps"),
    ],
)
def test_reading_several_at_once(indices: list[int], reason: str, pack: Pack) -> None:
    buffer = bytearray(int(pack.num_bytes[indices].sum()))
    pack.read_into(indices, memoryview(buffer))
    assert bytes(buffer) == b"".join(pack.image(i).tobytes() for i in indices), reason


def test_reading_over_the_end_of_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitspot.dataset.pack.SHARD_BYTES", 3000)
    pack = open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")
    assert pack.num_shards > 3
    buffer = bytearray(pack.nbytes)
    pack.read_into(range(len(pack)), memoryview(buffer))
    assert bytes(buffer) == b"".join(pack.image(i).tobytes() for i in range(len(pack)))


def test_merged_samples_are_those_of_their_sources(tmp_path: Path) -> None:
    first, second = (
        open_or_build(write_split(tmp_path / name, num=num), tmp_path / name / "train", tmp_path / "packs")
        for name, num in (("a", 9), ("b", 7))
    )
    indices = np.array([1, 4, 6])
    merged = Merged([(first, np.arange(9)), (second, indices)])
    assert len(merged) == 12
    assert len(set(merged.image_ids.tolist())) == 12
    assert merged.image_ids[:9].tolist() == first.image_ids.tolist()
    for i in range(12):
        source, index = (first, i) if i < 9 else (second, int(indices[i - 9]))
        np.testing.assert_array_equal(merged.image(i), source.image(index))
        np.testing.assert_array_equal(merged.boxes(i), source.boxes(index))
        np.testing.assert_array_equal(merged.labels(i), source.labels(index))
        np.testing.assert_array_equal(merged.crowd(i), source.crowd(index))
    buffer = bytearray(int(merged.num_bytes.sum()))
    merged.read_into(range(12), memoryview(buffer))
    assert bytes(buffer) == b"".join(merged.image(i).tobytes() for i in range(12))
