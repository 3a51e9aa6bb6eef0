from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pack_split import assert_holds, labelled, leftovers, refuse, write_split
from PIL import Image

from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.pack_plan import stored_size
from digitspot.errors import DataError
from digitspot.labels.labels import CategoryMap, LabelSet
from digitspot.preprocess import Prepared
from digitspot.types import ImageArray


class TestRoundTrip:
    def test_everything_comes_back(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path, num=150, side=100)
        done: list[tuple[int, int]] = []
        built = open_or_build(
            labels, tmp_path / "train", tmp_path / "packs", progress=lambda *step: done.append(step)
        )
        pack = Pack.open(built.path)
        assert_holds(pack, labels, tmp_path / "train")
        assert len(done) > 1
        assert done[-1] == (150, 150)
        assert pack.categories == labels.categories
        assert pack.nbytes == sum(h * w * 3 for h, w in pack.sizes_hw.tolist())
        assert (pack.boxes(0).dtype, pack.labels(0).dtype) == (np.float32, np.int64)
        assert leftovers(tmp_path / "packs") == []

    def test_arrays_are_the_callers_own(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        pack = open_or_build(labels, tmp_path / "train", tmp_path / "packs")
        for i in range(len(pack)):
            pack.image(i)[:] = 0
            pack.boxes(i)[:] = 0
            pack.labels(i)[:] = 0
        assert_holds(pack, labels, tmp_path / "train")

    @pytest.mark.parametrize(
        ("mode", "orientation", "stored_hw"),
        [("L", 1, (6, 9)), ("RGBA", 1, (6, 9)), ("P", 1, (6, 9)), ("RGB", 6, (9, 6))],
    )
    def test_images_of_every_kind(
        self, tmp_path: Path, mode: str, orientation: int, stored_hw: tuple[int, int]
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 4), np.uint8)
        Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode).save(tmp_path / "0.png", exif=exif)
        labels = LabelSet.of(
            images=(labelled(1, "0.png", stored_hw, 1),),
            categories=CategoryMap.homework(),
            path=tmp_path / "l",
        )
        assert_holds(open_or_build(labels, tmp_path, tmp_path / "packs"), labels, tmp_path)

    def test_no_images(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path, num=0)
        open_or_build(labels, tmp_path / "train", tmp_path / "packs")
        pack = open_or_build(labels, tmp_path / "train", tmp_path / "packs", announce=refuse)
        assert (len(pack), pack.nbytes, pack.num_shards) == (0, 0, 0)
        with pytest.raises(IndexError):
            pack.boxes(0)

    def test_the_seed_orders(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        orders = [
            open_or_build(labels, tmp_path / "train", tmp_path / f"packs{n}", seed=seed).image_ids.tolist()
            for n, seed in enumerate([0, 0, 1])
        ]
        assert orders[0] == orders[1] != orders[2]

    def test_several_shards(self, tmp_path: Path) -> None:
        images = []
        for i in range(3):
            Image.new("RGB", (3000, 3000), (i, 0, 0)).save(tmp_path / f"{i}.bmp")
            images.append(labelled(i, f"{i}.bmp", (3000, 3000), 0))
        labels = LabelSet.of(images, categories=CategoryMap.homework(), path=tmp_path / "l")
        pack = open_or_build(labels, tmp_path, tmp_path / "packs")
        assert pack.shard_of.tolist() == [0, 0, 1]
        assert [int(pack.image(i)[-1, -1, 0]) for i in range(3)] == pack.image_ids.tolist()


class TestDamage:
    @pytest.fixture
    def pack(self, tmp_path: Path) -> Pack:
        return open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")

    def test_cut_after_opening(self, pack: Pack) -> None:
        os.truncate(pack.path / "shard-00000.rgb", pack.nbytes - 1)
        pack.image(0)
        with pytest.raises(DataError, match=r"shard-00000\.rgb is cut: 1 bytes") as caught:
            pack.image(len(pack) - 1)
        assert "Delete the folder" in (caught.value.hint or "")

    @pytest.mark.parametrize("name", ["shard-00000.rgb", "index.npz", "pack.json"])
    @pytest.mark.parametrize("fraction", [0.5, 0.0])
    def test_cut_before_opening(self, pack: Pack, tmp_path: Path, name: str, fraction: float) -> None:
        os.truncate(pack.path / name, int((pack.path / name).stat().st_size * fraction))
        with pytest.raises(DataError, match=name):
            Pack.open(pack.path)
        labels = write_split(tmp_path)
        assert_holds(
            open_or_build(labels, tmp_path / "train", tmp_path / "packs"), labels, tmp_path / "train"
        )

    def test_missing_shard(self, pack: Pack) -> None:
        (pack.path / "shard-00000.rgb").unlink()
        with pytest.raises(DataError, match="shard-00000"):
            pack.image(0)
        with pytest.raises(DataError, match=r"shard-00000\.rgb is missing"):
            Pack.open(pack.path)

    def test_flipped_byte(self, pack: Pack) -> None:
        with open(pack.path / "shard-00000.rgb", "r+b") as file:
            file.seek(5)
            (byte,) = file.read(1)
            file.seek(5)
            file.write(bytes([byte ^ 1]))
        with pytest.raises(DataError, match=r"shard-00000\.rgb is damaged"):
            pack.image(0)
        assert pack.image(0, verify=False).shape == (*pack.sizes_hw[0], 3)
        pack.image(1)

    def test_another_format(self, pack: Pack) -> None:
        path = pack.path / "pack.json"
        path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
        with pytest.raises(DataError, match="format 99"):
            Pack.open(pack.path)

    def test_no_pack(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not a pack"):
            Pack.open(tmp_path)


class TestLongestSide:
    @pytest.mark.parametrize(
        ("size_hw", "expected", "reason"),
        [
            ((100, 50), (64, 32), "reduced"),
            ((64, 10), (64, 10), "just fits"),
            ((10, 20), (10, 20), "never enlarged"),
            ((1, 1000), (1, 64), "no side vanishes"),
        ],
    )
    def test_stored_size(self, size_hw: tuple[int, int], expected: tuple[int, int], reason: str) -> None:
        assert stored_size(size_hw, 64) == expected, reason

    def test_geometry_is_undone_by_preprocessing(self, tmp_path: Path) -> None:
        height, width = 301, 97
        box = np.array([[30, 90, 60, 210]], np.float32)
        Image.fromarray(bright_box(height, width, box)).save(tmp_path / "0.png")
        image = replace(
            labelled(1, "0.png", (height, width), 1), boxes=box, labels=np.array([3]), crowd=np.array([False])
        )
        labels = LabelSet.of((image,), categories=CategoryMap.homework(), path=tmp_path / "l")
        pack = open_or_build(labels, tmp_path, tmp_path / "packs", longest_side=100)
        stored = Prepared(pack.image(0), (height, width))
        assert stored.size_hw == tuple(pack.sizes_hw[0]) == (100, 32)
        np.testing.assert_allclose(pack.scale_hw(0), [100 / 301, 32 / 97])
        np.testing.assert_array_equal(pack.boxes(0), box)
        np.testing.assert_allclose(stored.to_original(stored.to_input(box)), box, rtol=1e-5)
        rows, columns = np.nonzero(stored.pixels[:, :, 0] > 127)
        seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        np.testing.assert_allclose(seen, stored.to_input(box), atol=0.6)


def bright_box(height: int, width: int, box: np.ndarray) -> ImageArray:
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box[0].astype(int)
    image[y1:y2, x1:x2] = 255
    return image


class TestProcesses:
    def test_spawned_workers_read(self, tmp_path: Path) -> None:
        pack = open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")
        pack.image(0)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            for i, image in enumerate(pool.map(pack.image, range(len(pack)))):
                np.testing.assert_array_equal(image, pack.image(i))

    def test_the_index_is_arrays(self, tmp_path: Path) -> None:
        pack = open_or_build(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")
        columns = vars(pack._index).values()
        assert all(isinstance(column, np.ndarray) and column.dtype != object for column in columns)

    def test_torch_is_not_imported(self) -> None:
        code = "import sys, digitspot.dataset.pack_build; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
