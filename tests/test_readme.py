"""What the README and the pages of docs/ show is there, and their commands run."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from digitspot import finetune
from digitspot.cli import run
from digitspot.config import check_config, load_recipe, settings_named_in
from digitspot.experiments.ablation import read_study
from digitspot.experiments.search import read_tuning
from small_nano import write_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "models" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = {
    "train": ["--train.max-updates", "1", "--data.workers", "0", "--train.device", "cpu"],
    "data synth": ["--images", "12", "--workers", "0"],
    "demo --output": ["--epochs", "1"],
}


def commands_in(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.strip().startswith("digitspot ")]


COMMANDS = sorted({command for page in PAGES for command in commands_in(page)})
PYTHON = {
    page: blocks
    for page in PAGES
    if (blocks := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}


def test_they_show_commands_and_python() -> None:
    assert len(COMMANDS) > 30
    assert len(PYTHON) > 5


@pytest.fixture
def folder(
    tmp_path: Path, nano_run: Path, nano_onnx: Path, small_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Hold what the pages speak of: data, a run, a model, answers and images."""
    for name in ("recipes", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "runs").mkdir()
    for name in ("DATA", "made", "photos-labels", "pictures"):
        shutil.copytree(small_data, tmp_path / name)
    monkeypatch.setattr(finetune, "NUM_GENERATED", 10)
    shutil.copytree(nano_run, tmp_path / "runs" / "mine")  # some commands write into it
    for name in ("nano", "160", "one", "other"):
        (tmp_path / "runs" / name).symlink_to("mine")
    for name in ("mine.onnx", "meters.onnx", "nano-svhn.onnx"):
        shutil.copy(nano_onnx, tmp_path / name)
    shutil.copy(nano_run / "best.pt", tmp_path / "two.pt")
    write_recipe(tmp_path / "small.yaml", epochs=1)
    (tmp_path / "photos").mkdir()
    for name in ("photos/1", "door", "meter", "street", "frame1", "frame2", "frame3"):
        shutil.copy(small_data / "test" / "1.png", tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITSPOT_CACHE", str(tmp_path / "cache"))
    for split, names in (("test", ("answers", "answers-one", "answers-other")), ("valid", ("valid",))):
        for name in names:
            assert run(["predict", "mine.onnx", f"DATA/{split}.json", "--output", name]) == 0
        shutil.copy(f"{names[0]}/pred.json", f"pred_{split}.json")
    assert (
        run(["calibrate", "pred_valid.json", "--labels", "DATA/valid.json", "--output", "reader.json"]) == 0
    )
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_small(command) == 0, capsys.readouterr().err


def run_small(command: str) -> int:
    """Run a command in `folder`, at a small size; what takes hours or never ends is only read."""
    command = command.partition(" > ")[0]
    words = shlex.split(command)[1:]
    if words[0] in ("ablate", "tune"):  # hours: their files are read, and tests/experiments runs small ones
        {"ablate": read_study, "tune": read_tuning}[words[0]](Path(words[1]))
        return 0
    if words[0] in ("serve", "label", "improve"):
        return 0  # tests/serve and tests/test_finetune.py have them
    if words[0] == "watch" and "://" in command:
        return 0  # tests/serve has a camera
    if "ray" in words:
        return 0  # tests/test_bulk.py has it
    if words[:2] == ["report", "runs/dropout"]:
        return 0  # of an ablation: tests/report has one
    command = command.replace("SOURCE DATA", "DATA NEW").replace("EXPORT", "DATA").replace("SVHN", "DATA")
    if words[0] == "train":  # into a new folder
        command = command.replace("runs/", "runs/new-")
    if "--target-accuracy" in words:  # needs a model that reaches it
        command = command.replace("mine.onnx", "models/nano-svhn.onnx")
    if "CHECKSUM" in command:
        command = command.replace("CHECKSUM", hashlib.sha256(Path("meters.onnx").read_bytes()).hexdigest())
    if "--resume" in words:
        begun = "train nano --data DATA --output runs/new-mine"
        assert run([*begun.split(), *SMALL["train"]]) == 0
    words = [path for word in shlex.split(command)[1:] for path in _expanded(word)]
    small = SMALL.get("train" if words[0] == "train" else " ".join(words[:2]), [])
    small = [] if "--resume" in command else small
    if words[0] == "data" and "--recipe" in words:
        small = ["--epochs", "1"]
    if words[:2] == ["data", "synth"]:  # into a new folder
        words[2] = f"generated{len(list(Path().glob('generated*')))}"
    return run([*words, *small])


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path, folder: Path) -> None:
    """The blocks of a page run one after the other."""
    code = "\n".join(PYTHON[page]).replace('"nano"', '"small.yaml"')
    exec(compile(code, page.name, "exec"), {})


def _expanded(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


LINKS = [
    pytest.param(page, target, id=f"{page.name}: {target}")
    for page in PAGES
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    if not target.startswith("http")
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    to = page.parent / path if path else page
    assert to.exists()
    if anchor:
        text = to.read_text(encoding="utf-8")
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        given = re.findall(r"\{ #(\S+) \}$", text, re.MULTILINE)
        made = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert anchor in {*made, *given}


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_recipes_can_be_trained_and_say_what_they_reach(path: Path) -> None:
    check_config(load_recipe(path), settings_named_in(path))
    comment = path.read_text(encoding="utf-8").split("\n\n")[0].split("\ninput:")[0].split("\ndata:")[0]
    assert re.search(r"0\.\d+ mAP", comment)
    assert "accuracy" in comment
    assert f"| `{path.stem}` |" in (ROOT / "README.md").read_text(encoding="utf-8")


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


A_PATH = r"[\w/]+(?:\.py|/)"


def decided_in(path: str) -> Path | None:
    folders = [ROOT, *(ROOT / "src" / "digitspot" / name for name in ("", "reading", "commands"))]
    return next((folder / path for folder in folders if (folder / path).exists()), None)


@pytest.mark.parametrize("path", sorted(set(re.findall(rf"`({A_PATH})`", ARCHITECTURE))))
def test_the_architecture_names_what_is_there(path: str) -> None:
    assert decided_in(path)


DECISIONS = [
    row for row in ARCHITECTURE.splitlines() if row.startswith("| ") and re.search(rf"`{A_PATH}`", row)
]


@pytest.mark.parametrize("row", DECISIONS, ids=lambda row: row.split("|")[1].strip())
def test_the_architecture_finds_names_in_their_files(row: str) -> None:
    where = row.split("|")[2]
    files = [decided_in(path) for path in re.findall(rf"`({A_PATH})`", where)]
    text = "".join(
        each.read_text(encoding="utf-8")
        for file in files
        if file
        for each in ([file] if file.is_file() else file.rglob("*.py"))
    )
    names = [name for name in re.findall(r"`([A-Za-z_][\w.]*)`", where) if not name.endswith((".py", ".pt"))]
    assert [name for name in names if not re.search(rf"\b{name.split('.')[-1]}\b", text)] == []
