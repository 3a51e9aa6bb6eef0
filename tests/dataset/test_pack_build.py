from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pack_split import assert_holds, leftovers, refuse, write_split
from PIL import Image

from digitspot.dataset.pack import Pack, lay_out
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.pack_cache import default_pack_root
from digitspot.dataset.pack_plan import PackPlan, plan_pack
from digitspot.errors import ConfigError, DataError, DigitspotError
from digitspot.labels.labels import CategoryMap, LabelSet

MIB = 2**20


def touch(folder: Path) -> None:
    for path in (folder / "train").iterdir():
        os.utime(path, ns=(1, 1))


def move(folder: Path) -> None:
    (folder / "train").rename(folder / "old")
    shutil.copytree(folder / "old", folder / "train")


def repaint(folder: Path) -> None:
    """Change one pixel; size and mtime stay."""
    path = folder / "train" / "3.bmp"
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def changed(labels: LabelSet, /, **changes: object) -> LabelSet:
    """Change the image in row 1, which has one box."""
    image = replace(labels.images[1], **changes)  # type: ignore[arg-type]
    return labels.with_images((labels.images[0], image, *labels.images[2:]))


REBUILD_RULES: list[
    tuple[str, Callable[[Path], None] | None, Callable[[LabelSet], LabelSet] | None, bool]
] = [
    ("nothing changed", None, None, False),
    ("touched", touch, None, False),
    ("copied elsewhere and back", move, None, False),
    ("the label file has another name", None, lambda old: replace(old, path=Path("other.json")), False),
    ("a pixel changed", repaint, None, True),
    ("a box changed", None, lambda old: changed(old, boxes=old.images[1].boxes + 1), True),
    ("a digit changed", None, lambda old: changed(old, labels=old.images[1].labels % 10 + 1), True),
    ("an image id changed", None, lambda old: changed(old, image_id=7), True),
    ("crowd changed", None, lambda old: changed(old, crowd=~old.images[1].crowd), True),
    ("an image left", None, lambda old: old.with_images(old.images[:-1]), True),
    ("other category ids", None, lambda old: replace(old, categories=CategoryMap(tuple(range(10)))), True),
]


class TestRebuildRules:
    @pytest.mark.parametrize(("reason", "change", "relabel", "expected"), REBUILD_RULES)
    def test_rule(
        self,
        tmp_path: Path,
        reason: str,
        change: Callable[[Path], None] | None,
        relabel: Callable[[LabelSet], LabelSet] | None,
        expected: bool,
    ) -> None:
        labels, root = write_split(tmp_path), tmp_path / "packs"
        open_or_build(labels, tmp_path / "train", root)
        if change is not None:
            change(tmp_path)
        if relabel is not None:
            labels = relabel(labels)
        built: list[PackPlan] = []
        pack = open_or_build(labels, tmp_path / "train", root, announce=built.append)
        assert bool(built) is expected, reason
        assert_holds(pack, labels, tmp_path / "train")
        open_or_build(labels, tmp_path / "train", root, announce=refuse)

    @pytest.mark.parametrize("options", [{"longest_side": 10}, {"seed": 1}])
    def test_options(self, tmp_path: Path, options: dict[str, int]) -> None:
        labels, root = write_split(tmp_path), tmp_path / "packs"
        first = open_or_build(labels, tmp_path / "train", root)
        other = open_or_build(labels, tmp_path / "train", root, **options)
        assert other.path != first.path
        for known in ({}, options):
            open_or_build(labels, tmp_path / "train", root, announce=refuse, **known)

    def test_another_folder_of_the_same_images(self, tmp_path: Path) -> None:
        labels, root = write_split(tmp_path), tmp_path / "packs"
        open_or_build(labels, tmp_path / "train", root)
        shutil.move(tmp_path / "train", tmp_path / "elsewhere")
        open_or_build(labels, tmp_path / "elsewhere", root, announce=refuse)

    def test_a_replaced_image_does_not_hide_in_a_copied_folder(self, tmp_path: Path) -> None:
        labels, root = write_split(tmp_path), tmp_path / "packs"
        open_or_build(labels, tmp_path / "train", root)
        shutil.copytree(tmp_path / "train", tmp_path / "b" / "train")
        repaint(tmp_path / "b")
        pack = open_or_build(labels, tmp_path / "b" / "train", root)
        assert_holds(pack, labels, tmp_path / "b" / "train")
        assert_holds(
            open_or_build(labels, tmp_path / "train", root, announce=refuse), labels, tmp_path / "train"
        )


BUILDER = """
import pickle, sys, time
from pathlib import Path
from digitspot.dataset.pack_build import open_or_build
labels, images_dir, root = pickle.loads(sys.stdin.buffer.read())
def progress(done, total):
    print("progress", flush=True)
    time.sleep(float(sys.argv[1]))
pack = open_or_build(labels, images_dir, root, workers=2, progress=progress, announce=lambda _: print("plan"))
print(pack.path)
"""


def start_builder(labels: LabelSet, images_dir: Path, root: Path, pause_s: float) -> subprocess.Popen[bytes]:
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(pause_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert builder.stdin is not None
    builder.stdin.write(pickle.dumps((labels, images_dir, root)))
    builder.stdin.close()
    builder.stdin = None
    return builder


class TestBuilders:
    def test_two_at_once_build_once(self, tmp_path: Path) -> None:
        labels, root = write_split(tmp_path, num=200, side=100), tmp_path / "packs"
        builders = [start_builder(labels, tmp_path / "train", root, 0.2) for _ in range(2)]
        outputs = [builder.communicate(timeout=60)[0].decode().split("\n") for builder in builders]
        assert [builder.returncode for builder in builders] == [0, 0]
        assert sum("plan" in lines for lines in outputs) == 1
        paths = {lines[-2] for lines in outputs}
        assert len(paths) == 1
        assert_holds(Pack.open(Path(paths.pop())), labels, tmp_path / "train")
        assert leftovers(root) == []

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
    @pytest.mark.parametrize("seed", [0, 1], ids=["the same pack next", "another pack next"])
    def test_killed_midway(self, tmp_path: Path, seed: int) -> None:
        labels, root = write_split(tmp_path, num=200, side=100), tmp_path / "packs"
        builder = start_builder(labels, tmp_path / "train", root, 60)
        assert builder.stdout is not None
        while b"progress" not in builder.stdout.readline():
            pass
        open_or_build(write_split(tmp_path / "b"), tmp_path / "b" / "train", root)
        assert len(leftovers(root)) == 1, "a builder at work keeps its folder"
        builder.kill()
        builder.communicate()
        assert len(leftovers(root)) == 1
        built: list[PackPlan] = []
        pack = open_or_build(labels, tmp_path / "train", root, seed=seed, announce=built.append)
        assert built
        assert_holds(pack, labels, tmp_path / "train")
        assert leftovers(root) == []

    def test_building_again_keeps_a_sound_pack(self, tmp_path: Path) -> None:
        labels, root = write_split(tmp_path), tmp_path / "packs"
        first = open_or_build(labels, tmp_path / "train", root)
        inode = (first.path / "index.npz").stat().st_ino
        second = open_or_build(labels, tmp_path / "train", root)
        assert (second.path / "index.npz").stat().st_ino == inode
        assert leftovers(root) == []

    def test_a_call_off_leaves_nothing(self, tmp_path: Path) -> None:
        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        labels, root = write_split(tmp_path, num=200, side=100), tmp_path / "packs"
        with pytest.raises(KeyboardInterrupt):
            open_or_build(labels, tmp_path / "train", root, progress=stop)
        assert leftovers(root) == []

    def test_a_root_that_cannot_be_written(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        (tmp_path / "file").write_text("")
        with pytest.raises(DigitspotError, match="cannot write"):
            open_or_build(labels, tmp_path / "train", tmp_path / "file" / "packs")


class TestImages:
    def test_all_that_cannot_be_decoded_are_counted(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        for i in range(7):
            path = tmp_path / "train" / f"{i}.bmp"
            path.write_bytes(path.read_bytes()[:-200])  # the header still stands
        with pytest.raises(DataError, match="7 of 12 images cannot be packed") as caught:
            open_or_build(labels, tmp_path / "train", tmp_path / "packs")
        assert "0.bmp" in str(caught.value)
        assert "and 2 more" in str(caught.value)
        assert "digitspot data check" in (caught.value.hint or "")
        assert leftovers(tmp_path / "packs") == []

    def test_a_missing_folder_is_named_once(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        with pytest.raises(DataError) as caught:
            open_or_build(labels, tmp_path / "gone", tmp_path / "packs")
        assert str(caught.value) == f"{tmp_path / 'gone'}: no such folder"
        assert leftovers(tmp_path / "packs") == []

    def test_headers_are_looked_at_first(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        (tmp_path / "train" / "2.bmp").unlink()
        (tmp_path / "train" / "4.bmp").write_bytes(b"no image")
        Image.new("RGB", (5, 3)).save(tmp_path / "train" / "6.bmp")
        with pytest.raises(DataError, match="3 of 12") as caught:
            open_or_build(labels, tmp_path / "train", tmp_path / "packs", announce=refuse)
        assert "6.bmp: the image is 5 x 3 pixels, the label file says 21 x 26" in str(caught.value)


class TestPlan:
    def test_says_what_it_takes(self, tmp_path: Path) -> None:
        labels = write_split(tmp_path)
        plan = plan_pack(labels, tmp_path / "train", tmp_path / "packs", longest_side=22)
        pack = open_or_build(labels, tmp_path / "train", tmp_path / "packs", longest_side=22)
        assert (plan.images, plan.bytes) == (len(pack), pack.nbytes)
        assert plan.describe().startswith("12 images decode to 0 MiB (8 of them reduced); ")

    def test_a_full_disk(self, tmp_path: Path) -> None:
        plan = plan_pack(write_split(tmp_path), tmp_path / "train", tmp_path / "packs")
        replace(plan, sizes_hw=plan.sizes_hw).require_space()
        with pytest.raises(DigitspotError, match="not enough disk space"):
            replace(plan, sizes_hw=plan.sizes_hw * 10**6).require_space()

    def test_a_side_below_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="longest_side is 0"):
            plan_pack(write_split(tmp_path), tmp_path / "train", tmp_path / "packs", longest_side=0)


@pytest.mark.parametrize(
    ("sizes_mib", "shards", "reason"),
    [
        ([], [], "nothing"),
        ([64], [0], "exactly full"),
        ([32, 32, 1], [0, 0, 1], "full, then the next"),
        ([60, 5, 5], [0, 1, 1], "what does not fit opens a shard"),
        ([100, 1, 100], [0, 1, 2], "larger than a shard"),
    ],
)
def test_layout(sizes_mib: list[int], shards: list[int], reason: str) -> None:
    shard_of, offsets = lay_out(np.array(sizes_mib, np.int64) * MIB)
    assert shard_of.tolist() == shards, reason
    for shard in set(shards):
        inside = np.array(sizes_mib)[shard_of == shard]
        assert offsets[shard_of == shard].tolist() == [
            int(inside[:i].sum()) * MIB for i in range(len(inside))
        ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DIGITSPOT_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/packs"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/digitspot/packs"),
        ({"HOME": "/home/me"}, "/home/me/.cache/digitspot/packs"),
    ],
)
def test_default_root(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("DIGITSPOT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_pack_root() == Path(expected)
