"""Models by name."""

import functools
import hashlib
import http.server
import json
import logging
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from digitspot import Reader
from digitspot.cli import run
from digitspot.errors import CheckpointError, ConfigError
from digitspot.models import BUNDLED, DEFAULT, add_model, find_model, known_models


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def address(nano_onnx: Path) -> Iterator[str]:
    """Serve the folder of the small model over HTTP."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(nano_onnx.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{nano_onnx.name}"
    server.shutdown()


def test_the_bundled_models_load_and_fit_into_a_wheel() -> None:
    names = [each.name for each in known_models()]
    assert names == ["general", "svhn"]
    assert {path.stem for path in BUNDLED.glob("*.onnx")} == set(names)
    assert sum(each.path.stat().st_size for each in known_models()) < 15e6
    for name in names:
        Reader.load(name)


def test_none_is_the_default() -> None:
    assert find_model(None) == find_model(DEFAULT) == BUNDLED / "general.onnx"


def test_research_terms_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "digitspot"):
        find_model("general")
        assert not caplog.records
        find_model("svhn")
    assert "research only" in caplog.text


def test_a_path_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("svhn").mkdir()
    Path("mine").mkdir()
    assert find_model("svhn") == BUNDLED / "svhn.onnx"
    assert find_model("./svhn") == Path("svhn")
    assert find_model("mine") == Path("mine")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match="'svnh'") as caught:
        find_model("svnh")
    assert "general, svhn" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["file", "folder", "address"])
def test_a_model_is_added(kind: str, nano_onnx: Path, address: str) -> None:
    source = {"file": str(nano_onnx), "folder": str(nano_onnx.parent), "address": address}[kind]
    added = add_model(source, sha256(nano_onnx), "meters")
    assert added.path.read_bytes() == nano_onnx.read_bytes()
    assert [each.name for each in known_models()] == ["general", "svhn", "meters"]
    assert Reader.load("meters").categories == Reader.load(nano_onnx).categories


@pytest.mark.parametrize("kind", ["file", "folder", "address"])
def test_another_checksum_adds_nothing(kind: str, nano_onnx: Path, address: str, tmp_path: Path) -> None:
    source = {"file": str(nano_onnx), "folder": str(nano_onnx.parent), "address": address}[kind]
    with pytest.raises(CheckpointError, match="does not have the SHA-256 0000"):
        add_model(source, "0" * 64)
    assert not list((tmp_path / "cache").rglob("*.onnx*"))


def test_what_is_no_model_is_not_added(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("no model")
    with pytest.raises(CheckpointError):
        add_model(str(path), sha256(path))
    assert [each.name for each in known_models()] == ["general", "svhn"]


def test_an_address_that_does_not_answer(address: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        add_model(address.removesuffix(".onnx") + "-missing.onnx", "0" * 64)


@pytest.mark.parametrize(
    ("sha", "name", "message"),
    [
        ("12", "mine", "64 hexadecimal"),
        ("0" * 64, "../mine", "no name"),
        ("0" * 64, "svhn", "digitspot's own"),
    ],
)
def test_bad_names_and_checksums(sha: str, name: str, message: str, nano_onnx: Path) -> None:
    digest = sha256(nano_onnx) if sha == "0" * 64 else sha
    with pytest.raises(ConfigError, match=message):
        add_model(str(nano_onnx), digest, name)


def test_commands(nano_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--add", str(nano_onnx), "--sha256", sha256(nano_onnx), "--name", "mine"]) == 0
    assert run(["models"]) == 0
    printed = capsys.readouterr().out
    assert "general is the default" in printed
    assert "mine" in printed
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert run(["calibrate", "svhn", "--labels", str(labels)]) == 2
    assert "comes with digitspot" in capsys.readouterr().err


def test_the_wheel_has_the_models(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(
        root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        "wheel",
        ".",
    ]
    subprocess.run(build, cwd=tmp_path, check=True, timeout=120)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        bundled = {name for name in file.namelist() if name.startswith("digitspot/bundled/")}
    assert bundled == {f"digitspot/bundled/{path.name}" for path in BUNDLED.iterdir()}
