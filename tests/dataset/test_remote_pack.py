"""Packs at an URL: the bytes of local ones, a store that fails and lies, and a training that is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from pack_split import write_split

from digitspot.cli import run
from digitspot.dataset import remote_pack
from digitspot.dataset.pack import INDEX_FILE, META_FILE, Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.remote_pack import RemotePack, open_remote
from digitspot.dataset.samples import Merged
from digitspot.errors import DataError
from digitspot.files import data_path

Fault = Callable[[bytes], bytes | Exception]


class FaultyStore(MemoryFileSystem):  # type: ignore[misc]
    """Objects in memory; each range is answered once by the next of `faults`, as long as there are some."""

    protocol = "faulty"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in the class above
    faults: list[Fault] = []  # noqa: RUF012
    largest = 0

    def cat_ranges(self, paths: Any, starts: Any, ends: Any, *args: Any, **kwargs: Any) -> list[Any]:
        type(self).largest = max(self.largest, sum(np.subtract(ends, starts)))
        found = super().cat_ranges(paths, starts, ends, *args, **kwargs)
        return [self.faults.pop()(each) if self.faults else each for each in found]


fsspec.register_implementation("faulty", FaultyStore, clobber=True)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return open_or_build(write_split(tmp_path, num=90, side=80), tmp_path / "train", tmp_path / "packs")


def upload(pack: Pack, url: str) -> Path:
    files = fsspec.filesystem("faulty")
    for path in pack.path.iterdir():
        files.pipe_file(f"{url}/{path.name}", path.read_bytes())
    return data_path(url)


@pytest.fixture
def remote(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pack]:
    monkeypatch.setattr(remote_pack, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(FaultyStore, "faults", [])
    monkeypatch.setattr(FaultyStore, "largest", 0)
    yield open_remote(upload(pack, "faulty://made/train.pack"), tmp_path / "cache", copied=False)
    FaultyStore.store.clear()


def read(pack: Pack | Merged, indices: list[int]) -> bytes:
    buffer = bytearray(int(pack.num_bytes[indices].sum()))
    pack.read_into(indices, memoryview(buffer))
    return bytes(buffer)


INDICES = [*range(3, 50), 60, 61, 89]


def test_images_and_parts_are_those_of_the_local_pack(pack: Pack, remote: Pack) -> None:
    assert isinstance(remote, RemotePack)
    assert read(remote, INDICES) == read(pack, INDICES)
    np.testing.assert_array_equal(remote.image(89), pack.image(89))
    np.testing.assert_array_equal(remote.boxes(7), pack.boxes(7))


def test_merged_with_a_local_pack(pack: Pack, remote: Pack) -> None:
    taken = np.arange(10, 40)
    both = Merged([(remote, taken), (pack, taken)])
    assert read(both, [0, 5, 29, 30, 59]) == read(pack, [10, 15, 39, 10, 39])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda found: ConnectionError("gone"), "the store does not answer"),
        (lambda found: found[:-1], "the answer is cut"),
        (lambda found: bytes([found[0] ^ 1]) + found[1:], "a bit is wrong"),
        (lambda found: b"", "the answer is empty"),
    ],
)
def test_what_fails_is_fetched_again(
    pack: Pack, remote: Pack, fault: Fault, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FaultyStore.faults = [fault] * 3
    assert read(remote, INDICES) == read(pack, INDICES), reason
    assert "trying again" in capsys.readouterr().err


def test_what_stays_wrong_is_said(remote: Pack) -> None:
    FaultyStore.faults = [lambda found: bytes([found[0] ^ 1]) + found[1:]] * 1000
    with pytest.raises(
        DataError, match=r"shard-00000\.rgb is damaged: the bytes of \d+\.bmp .*after 5 tries"
    ):
        read(remote, INDICES)


def test_little_is_held_beside_the_part(pack: Pack, remote: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_pack, "FETCHED_BYTES", 700_000)
    assert read(remote, list(range(90))) == read(pack, list(range(90)))
    assert 0 < FaultyStore.largest <= 700_000


def test_valid_is_copied_once(pack: Pack, remote: Pack, tmp_path: Path) -> None:
    copy = open_remote(remote.path, tmp_path / "cache", copied=True)
    FaultyStore.store = {
        name: each for name, each in FaultyStore.store.items() if name.endswith((INDEX_FILE, META_FILE))
    }
    again = open_remote(remote.path, tmp_path / "cache", copied=True)
    assert type(copy) is type(again) is Pack
    assert copy.path == again.path
    assert read(again, INDICES) == read(pack, INDICES)


def test_no_pack_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"faulty://nothing/train\.pack is not a pack"):
        open_remote(data_path("faulty://nothing/train.pack"), tmp_path, copied=False)


def test_a_training_is_the_same(
    small_data: Path, small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    flags = ["--data.strategy", "parts", "--data.parts", "3", "--train.max-updates", "5"]
    local = [str(small_recipe), "--data", str(small_data), "--output", str(tmp_path / "local"), *flags]
    assert run(["train", *local]) == 0
    for split in ("train", "valid"):
        assert run(["data", "pack", str(small_data), "--split", split]) == 0
        upload(Pack.open(Path(capsys.readouterr().out.split()[-1])), f"faulty://small/{split}.pack")
    at_url = [str(small_recipe), "--data", "faulty://small", "--output", str(tmp_path / "far")]
    assert run(["train", *at_url, "--train.max-updates", "5"]) == 2
    assert "--data.strategy parts" in capsys.readouterr().err
    assert run(["train", *at_url, *flags[:-1], "2"]) == 0
    assert run(["train", "--resume", str(tmp_path / "far")]) == 0, "the URL is kept"
    assert run(["train", *at_url[:-1], str(tmp_path / "whole"), *flags]) == 0
    one, other = (
        torch.load(tmp_path / name / "last.pt", weights_only=True)["learner"]["model"]
        for name in ("local", "whole")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((tmp_path / "far" / "environment.json").read_text())["data"] == "faulty://small"
