"""Model files: what is written is read, and no damage goes unnoticed."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import onnx
import pytest
import torch

from digitspot.detector.trained import Model, load_model
from digitspot.errors import CheckpointError
from digitspot.model_file import (
    BEST,
    DIGEST_BYTES,
    KEY,
    STAMP_SIZE,
    _stamp,
    graph_of,
    read_onnx,
    read_tensors,
    write_onnx,
    write_tensors,
)
from digitspot.reader import Reader


@pytest.fixture(params=["onnx", "pt"])
def model_file(request: pytest.FixtureRequest, nano_onnx: Path, nano_run: Path) -> Path:
    return nano_onnx if request.param == "onnx" else nano_run / BEST


def flip(data: bytes, positions: list[int]) -> bytes:
    flipped = bytearray(data)
    for position in positions:
        flipped[position // 8] ^= 1 << position % 8
    return bytes(flipped)


def test_every_flipped_bit_is_noticed(model_file: Path, tmp_path: Path) -> None:
    data, path = model_file.read_bytes(), tmp_path / model_file.name
    draw = random.Random(0)
    ends = [0, 1, 8 * len(data) - 1, 8 * (len(data) - STAMP_SIZE), 8 * (len(data) - STAMP_SIZE) - 1]
    single = [[position] for position in (*ends, *draw.sample(range(8 * len(data)), 40))]
    for positions in (*single, draw.sample(range(8 * len(data)), 500)):
        path.write_bytes(flip(data, positions))
        with pytest.raises(CheckpointError, match=r"damaged|does not end in a checksum"):
            Reader.load(path)


def test_every_cut_is_noticed(model_file: Path, tmp_path: Path) -> None:
    data, path = model_file.read_bytes(), tmp_path / model_file.name
    for end in (0, 1, STAMP_SIZE, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError, match="cut off"):
            Reader.load(path)


def stamped(body: bytes) -> bytes:
    return body + _stamp(blake2b(body, digest_size=DIGEST_BYTES).hexdigest())


class Hostile:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


@pytest.mark.parametrize("checksum", [False, True], ids=["as it is", "with a checksum"])
def test_a_hostile_pickle_runs_nothing(
    checksum: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"kind": "model", "format": 2, "model": Hostile()})
    Path("hostile.pt").write_bytes(stamped(data) if checksum else data)
    with pytest.raises(CheckpointError) as raised:
        Reader.load("hostile.pt")
    assert "weights_only" not in f"{raised.value} {raised.value.hint}"
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("state", "words", "reason"),
    [
        ({"kind": "model"}, "holds a model, expected a training", "the other kind"),
        ({"weights": torch.zeros(1)}, "holds something else", "a state dict"),
        ({"kind": "training", "format": 99}, "another version", "of a later version"),
    ],
)
def test_other_checkpoints(state: dict[str, object], words: str, reason: str, tmp_path: Path) -> None:
    write_tensors(state, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=words):
        read_tensors(tmp_path / "last.pt", kind="training")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_tensors(tmp_path / "absent.pt", kind="training")


def test_a_run_that_was_interrupted_says_how_to_go_on(tmp_path: Path) -> None:
    write_tensors({"kind": "training"}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="has no model yet") as raised:
        Reader.load(tmp_path)
    assert raised.value.hint == f"Go on with it: digitspot train --resume {tmp_path}"


def test_models_of_before_say_what_to_do(nano_onnx: Path, nano_model: Model, tmp_path: Path) -> None:
    whole = nano_onnx.read_bytes()[:-STAMP_SIZE]
    (tmp_path / "old.onnx").write_bytes(whole)
    (tmp_path / "older.onnx").write_bytes(whole[:-1] + b', "version": "0.1.0"}')
    torch.save({"kind": "model", "format": 1}, tmp_path / "old.pt")
    for name in ("old.onnx", "older.onnx", "old.pt"):
        with pytest.raises(CheckpointError, match="written by another version") as raised:
            Reader.load(tmp_path / name)
        assert "train again" in str(raised.value.hint)


def test_a_checkpoint_keeps_everything(nano_model: Model, nano_run: Path) -> None:
    loaded = load_model(nano_run)
    assert (loaded.info, loaded.config) == (nano_model.info, nano_model.config)
    weights = nano_model.detector.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in loaded.detector.state_dict().items())


def test_the_graph_stays_and_onnx_reads_it(nano_onnx: Path, nano_model: Model, tmp_path: Path) -> None:
    data, info = read_onnx(nano_onnx)
    assert info == nano_model.info
    graph = graph_of(data, nano_onnx)
    write_onnx(graph, info, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == data
    document = onnx.load(nano_onnx)
    assert {each.key: each.value for each in document.metadata_props}[KEY.decode()] == info.to_json()
    del document.metadata_props[:]
    assert document.SerializeToString() == graph
