"""The cache of packs: what it lists, what goes, and what stays."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pack_split import write_split

from command_line import digitspot
from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.pack_limit import cache_limit_bytes, clear_cache, keep_limit, list_cache
from digitspot.errors import ConfigError


def build(folder: Path, root: Path, longest_side: int | None = None, num: int = 12) -> Path:
    """Build a pack that no object keeps in use."""
    path = open_or_build(write_split(folder, num), folder / "train", root, longest_side=longest_side).path
    gc.collect()
    return path


def used_at(path: Path, seconds: int) -> None:
    os.utime(path / "pack.json", (seconds, seconds))


@pytest.fixture
def packs(tmp_path: Path) -> dict[str, Path]:
    """Four packs: two settings of one source, another source, and one of an older version."""
    root = tmp_path / "packs"
    made = {
        "replaced": build(tmp_path / "a", root, longest_side=10),
        "current": build(tmp_path / "a", root),
        "other": build(tmp_path / "b", root, num=13),
        "old": build(tmp_path / "c", root, num=14),
    }
    meta = json.loads((made["old"] / "pack.json").read_text())
    (made["old"] / "pack.json").write_text(json.dumps({**meta, "decoding": 1}))
    for seconds, name in enumerate(("replaced", "other", "current", "old"), 1000):
        used_at(made[name], seconds)
    return made


def names_left(packs: dict[str, Path]) -> set[str]:
    return {name for name, path in packs.items() if path.exists()}


def test_states(packs: dict[str, Path]) -> None:
    listed = list_cache(packs["old"].parent)
    assert [pack.path for pack in listed] == [packs[n] for n in ("old", "current", "other", "replaced")]
    assert [pack.state for pack in listed] == ["unusable", "current", "current", "replaced"]
    assert listed[1].source.endswith("a/train.json")
    assert [pack.longest_side for pack in listed[1:]] == [None, None, 10]
    assert listed[1].num_bytes == sum(file.stat().st_size for file in packs["current"].iterdir())


def test_an_empty_cache(tmp_path: Path) -> None:
    assert list_cache(tmp_path / "none") == []
    assert clear_cache(tmp_path / "none", lambda pack: True) == []


@pytest.mark.parametrize(
    ("room_for", "left", "reason"),
    [
        (("replaced", "current", "other"), {"replaced", "current", "other"}, "only what cannot be used goes"),
        (("current", "other"), {"current", "other"}, "then what was replaced"),
        (("current",), {"current"}, "then what was not used for longest"),
        ((), {"current"}, "never the new one"),
    ],
)
def test_the_limit(packs: dict[str, Path], room_for: tuple[str, ...], left: set[str], reason: str) -> None:
    sizes = {pack.path: pack.num_bytes for pack in list_cache(packs["old"].parent)}
    keep_limit(packs["old"].parent, packs["current"], sum(sizes[packs[name]] for name in room_for))
    assert names_left(packs) == left, reason


def test_building_keeps_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "packs"
    first = build(tmp_path / "a", root)
    monkeypatch.setenv("DIGITSPOT_CACHE_LIMIT", "0")
    second = build(tmp_path / "b", root, num=13)
    assert (first.exists(), second.exists()) == (False, True)


def test_a_pack_in_use_stays(packs: dict[str, Path], tmp_path: Path) -> None:
    root = packs["old"].parent
    pack = open_or_build(write_split(tmp_path / "b", 13), tmp_path / "b" / "train", root)
    keep_limit(root, packs["current"], 0)
    assert clear_cache(root, lambda each: True)
    assert names_left(packs) == {"other"}
    pack.image(0)
    del pack
    gc.collect()
    assert len(clear_cache(root, lambda each: True)) == 1


def test_a_pack_in_use_by_another_process_stays(packs: dict[str, Path]) -> None:
    program = (
        "import sys; from pathlib import Path; from digitspot.dataset.pack_cache import open_in_use\n"
        "pack = open_in_use(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(packs["other"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        clear_cache(packs["old"].parent, lambda pack: True)
        assert names_left(packs) == {"other"}
        Pack.open(packs["other"]).image(0)
        assert reader.stdin is not None
        reader.stdin.close()
    assert len(clear_cache(packs["old"].parent, lambda pack: True)) == 1


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE_LIMIT", text)
    with pytest.raises(ConfigError, match=text):
        cache_limit_bytes()


@pytest.mark.parametrize(
    ("option", "left", "said"),
    [
        ("--clear", {"current", "other"}, "removed 2 packs"),
        ("--clear-all", set(), "removed 4 packs"),
    ],
)
def test_the_command_clears(packs: dict[str, Path], option: str, left: set[str], said: str) -> None:
    done = digitspot("data", "cache", "--root", str(packs["old"].parent), option)
    assert said in done.stdout
    assert names_left(packs) == left


def test_the_command_lists(packs: dict[str, Path]) -> None:
    done = digitspot("data", "cache", "--root", str(packs["old"].parent))
    assert "4 packs" in done.stdout
    assert "20.0 GiB" in done.stdout
    assert names_left(packs) == set(packs)
