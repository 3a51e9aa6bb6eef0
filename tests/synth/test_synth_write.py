"""Generated data sets: the same seed the same bytes, however made, and interrupted wherever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitspot.cli import run
from digitspot.config import DataConfig
from digitspot.dataset.splits import open_split
from digitspot.errors import ConfigError, DataError
from digitspot.labels.coco import read_labels
from digitspot.synth import write
from digitspot.synth.generate import DOMAINS, SynthRequest, make_image, subject_of
from digitspot.synth.write import LOG_FILE, synthesize


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthesized") / "data"
    synthesize(folder, SynthRequest(train=12, valid=3, test=4, seed=7, domain="mixed"))
    return folder


def test_same_seed_same_bytes_with_any_number_of_processes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "CHUNK", 5)
    synthesize(tmp_path / "again", SynthRequest(train=12, valid=3, test=4, seed=7, domain="mixed"), workers=2)
    assert contents(tmp_path / "again") == contents(made)


def test_other_seed_other_images(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "other", SynthRequest(train=2, valid=0, test=0, seed=8, domain="mixed"))
    assert contents(tmp_path / "other")["train/1.png"] != contents(made)["train/1.png"]


def test_larger_split_begins_with_the_smaller(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "larger", SynthRequest(train=14, valid=0, test=0, seed=7, domain="mixed"))
    larger, smaller = contents(tmp_path / "larger"), contents(made)
    assert all(larger[f"train/{i}.png"] == smaller[f"train/{i}.png"] for i in range(1, 13))


def test_layout_is_the_homeworks(made: Path) -> None:
    expected = {"train.json", "valid.json", "test.json", "synth.json"}
    for split, size in (("train", 12), ("valid", 3), ("test", 4)):
        expected |= {f"{split}/{i}.png" for i in range(1, size + 1)}
    assert set(contents(made)) == expected
    assert not list(made.parent.glob(".*"))


def test_it_says_what_it_is_set_in(made: Path) -> None:
    about = json.loads((made / "synth.json").read_text())
    assert about["seed"] == 7
    assert "Roboto: Apache-2.0" in about["typefaces"]["test"]
    assert not set(about["typefaces"]["train"]) & set(about["typefaces"]["test"])


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_labels_read_back(made: Path, split: str) -> None:
    for index, image in enumerate(read_labels(made / f"{split}.json").images):
        drawn = make_image(7, split, index, subject_of(split, "mixed"))
        with Image.open(made / split / image.file_name) as sample:
            assert (sample.height, sample.width) == image.size_hw
            assert np.array_equal(np.asarray(sample), drawn.image)
        assert image.labels.tolist() == drawn.labels.tolist()
        beside = drawn.numbers > 0 if split != "train" else np.zeros(len(drawn.numbers), bool)
        assert image.crowd.tolist() == beside.tolist()
        np.testing.assert_allclose(image.boxes, drawn.boxes.reshape(-1, 4), atol=0.01)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("stop", [5, 10, 15])
def test_an_interruption_changes_nothing(
    packed: bool, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "CHUNK", 5)

    def make(output: Path, until: int = 99) -> None:
        def progress(done: int, total: int) -> None:
            seen.append(done)
            if done >= until:
                raise KeyboardInterrupt

        synthesize(
            output, SynthRequest(train=9, valid=8, test=0, domain="plates", packed=packed), progress=progress
        )

    seen: list[int] = []
    make(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", stop)
    assert not (tmp_path / "cut").exists()
    left = tmp_path / ".cut.unfinished"
    with open(left / LOG_FILE, "a") as log:
        log.write('{"split": "train", "ro')  # and a crash while a line was written
    for shard in left.rglob("*.rgb"):
        shard.write_bytes(shard.read_bytes() + b"torn")
    seen.clear()
    make(tmp_path / "cut")
    assert seen[0] >= 5, "what was done is not done again"
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert not left.exists()


def test_another_requests_work_is_not_mixed_in(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "d", SynthRequest(train=2, valid=0, test=0, seed=1), progress=stop)
    with pytest.raises(DataError, match="another request"):
        synthesize(tmp_path / "d", SynthRequest(train=2, valid=0, test=0, seed=2))


def test_packs_hold_what_files_hold(tmp_path: Path) -> None:
    for name, packed in (("files", False), ("packs", True)):
        synthesize(tmp_path / name, SynthRequest(train=6, valid=2, test=0, domain="plates", packed=packed))
    assert not list((tmp_path / "packs").rglob("*.png"))
    pack = open_split(tmp_path / "packs", "train", DataConfig())
    labels = read_labels(tmp_path / "files" / "train.json").images
    assert pack.image_ids.tolist() == [image.image_id for image in labels]
    for index, image in enumerate(labels):
        with Image.open(tmp_path / "files" / "train" / image.file_name) as sample:
            assert np.array_equal(pack.image(index), np.asarray(sample))
        np.testing.assert_allclose(pack.boxes(index), image.boxes, atol=1e-3)
    with pytest.raises(ConfigError, match="longest_side"):
        open_split(tmp_path / "packs", "train", DataConfig(longest_side=64))


def test_synthesize_returns_what_it_wrote(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    request = SynthRequest(train=2, valid=0, test=1)
    sets = synthesize(tmp_path / "d", request, progress=lambda done, of: calls.append((done, of)))
    assert {name: len(labels) for name, labels in sets.items()} == {"train": 2, "test": 1}
    assert sets["test"].path == tmp_path / "d" / "test.json"
    assert calls == [(2, 3), (3, 3)]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        synthesize(tmp_path, SynthRequest(train=1, valid=0, test=0))
    assert contents(tmp_path) == {"train.json": b"mine"}


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    synthesize(tmp_path / "new", SynthRequest(train=1, valid=0, test=0))
    assert set(contents(tmp_path / "new")) == {"synth.json", "train.json", "train/1.png"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "0"], "0 images"),
        (["--images", "10", "--valid-fraction", "1.5"], "1.5"),
        (["--images", "10", "--seed", "-1"], "negative"),
    ],
)
def test_impossible_wishes_end_with_2(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "synth", str(tmp_path / "d"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_command_writes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--images", "5", "--valid-fraction", "0.4", "--boxes", "loose", "--domain", "meters"]
    assert run(["data", "synth", str(tmp_path / "d"), *options]) == 0
    assert capsys.readouterr().out.endswith("d: 3 train, 2 valid\n")
    assert run(["data", "check", str(tmp_path / "d")]) == 0


def test_unknown_domain_is_named() -> None:
    with pytest.raises(ConfigError, match="churches"):
        subject_of("train", "churches")
    assert {"houses", "meters", "displays", "jerseys"} <= set(DOMAINS)
