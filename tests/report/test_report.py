"""The page of a run, of several and of an ablation: whole, self-contained, and what it says is so."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from digitspot.answers import read_command, read_readings
from digitspot.cli import run
from digitspot.labels.coco import read_labels

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Checks that elements close in order, and gathers what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.targets += [str(values[name]) for name in ("src", "href") if name in values]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def answers(nano_run: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network with random weights: every kind of mistake it can make."""
    folder = tmp_path_factory.mktemp("answers") / "one <b>"
    words = ["predict", str(nano_run), str(small_data / "test.json"), "--output", str(folder)]
    assert run([*words, "--precision", "bf16"]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with records as a training writes them."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    folder.mkdir()
    rows = [
        {"kind": "train", "step": i, "images_seen": 32 * i, "seconds": 2.0 * i, "prequential_faded": 3 / i,
         "lr_factor": 1.0, "memory_mib": 900 + i} for i in range(20, 200, 20)
    ]  # fmt: skip
    valid = {
        "kind": "valid",
        "images_seen": 6400,
        "seconds": 400,
        "valid_loss": 0.5,
        "map": 0.3,
        "accuracy": 0.6,
    }
    rows.append({**valid, "zoomed_map": 0.2, "zoomed_accuracy": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text("train: {epochs: 1}\n")
    (folder / "environment.json").write_text(json.dumps({"data": "/some where", "packages": {"torch": "2"}}))
    return folder


def report(output: Path, labels: Path, *arguments: object) -> str:
    words = [
        "report",
        *map(str, arguments),
        "--labels",
        str(labels),
        "--output",
        str(output),
        "--resamples",
        "20",
    ]
    assert run(words) == 0
    return output.read_text()


def test_a_run_with_answers(trained: Path, answers: Path, small_data: Path, tmp_path: Path) -> None:
    text = report(tmp_path / "page.html", small_data / "test.json", trained, "--answers", answers)
    page = Page(text)
    assert all(target.startswith(("#", "data:")) for target in page.targets), "nothing is asked for"
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert {target[1:] for target in page.targets if target.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    for title in (
        "Scores",
        "Loss",
        "Memory",
        "Precision against recall",
        "Calibration",
        "Coverage",
        "Mistakes",
    ):
        assert title in text
    said = " ".join(page.words)
    assert "--data '/some where'" in said, "commands can be pasted"
    assert "trained on 6,400 images in 6.7 minutes" in said

    truth = {str(each.image_id): each.number for each in read_labels(small_data / "test.json").images}
    read = {key: number for key, (number, _) in read_readings(answers / "readings.csv").items()}
    num_wrong = sum(read[key] != number for key, number in truth.items())
    assert num_wrong > 0
    assert text.count('class="card"') == num_wrong
    assert f"{sum(read[key] == number for key, number in truth.items()) / len(truth):.4f} [" in said


@pytest.mark.parametrize("num_answered", [None, 3])
def test_accuracy_is_that_of_evaluate(
    num_answered: int | None, answers: Path, small_data: Path, tmp_path: Path
) -> None:
    """Readings are all right here, but only the first are answered: pred.csv counts, not readings.csv."""
    labels, folder = small_data / "test.json", tmp_path / "mine"
    shutil.copytree(answers, folder)
    truth = [(each.image_id, each.number or "-1") for each in read_labels(labels).images]
    rows = ["image_id,pred_label,probability", *(f"{key},{number},0.9" for key, number in truth)]
    (folder / "readings.csv").write_text("\n".join(rows) + "\n")
    answered = truth[:num_answered] + [(key, "-1") for key, _ in truth[len(truth[:num_answered]) :]]
    rows = ["image_id,pred_label", *(f"{key},{number}" for key, number in answered)]
    (folder / "pred.csv").write_text("\n".join(rows) + "\n")
    saved = tmp_path / "scores.json"
    words = ["evaluate", str(folder), "--labels", str(labels), "--resamples", "20", "--save", str(saved)]
    assert run(words) == 0
    accuracy = json.loads(saved.read_text())["numbers"]["accuracy"]
    assert (accuracy == 1) == (num_answered is None)
    report(tmp_path / "page.html", labels, folder)
    assert f"| numbers right | {accuracy:.4f} [" in (tmp_path / "page.md").read_text()


def test_names_neither_mark_up_nor_reach_a_terminal(answers: Path, small_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a|b *c* <i>\x1b[31m\n# d"
    shutil.copytree(answers, folder)
    text = report(tmp_path / "page.html", small_data / "test.json", folder)
    markdown = (tmp_path / "page.md").read_text()
    assert r"# a\|b \*c\* \<i>\\x1b[31m\\n# d" in markdown
    assert {each for each in text + markdown if not each.isprintable()} == {"\n"}
    assert "a|b *c* &lt;i&gt;\\x1b[31m\\n# d" in text
    assert "<i>" not in text.replace("<i class", "")


def test_several_and_what_names_say_is_only_text(
    trained: Path, answers: Path, small_data: Path, tmp_path: Path
) -> None:
    text = report(tmp_path / "page.html", small_data / "test.json", answers, answers)
    page = Page(text)
    assert len(set(page.ids)) == len(page.ids), "the same name twice"
    assert "one &lt;b&gt;" in text
    assert "one <b>" not in text
    assert "not distinguishable" in text, "the same answers twice"
    markdown = (tmp_path / "page.md").read_text()
    assert "| figure |" in markdown
    assert "not distinguishable" in markdown


def test_a_training_alone(trained: Path, tmp_path: Path) -> None:
    assert run(["report", str(trained), "--output", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    Page(text)
    assert "Validation: mAP" in text
    assert "digitspot predict" in text, "what to do for the rest"


def test_names_that_differ_by_a_sign_only(answers: Path, small_data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "nano 1", tmp_path / "nano-1"]
    for folder in folders:
        shutil.copytree(answers, folder)
    page = Page(report(tmp_path / "page.html", small_data / "test.json", *folders))
    assert "Mistakes of nano-1" in page.words
    assert len(set(page.ids)) == len(page.ids)
    assert {target[1:] for target in page.targets if target.startswith("#")} <= set(page.ids)


def test_commands_give_the_same_answers(answers: Path, small_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(answers, folder)
    report(tmp_path / "page.html", small_data / "test.json", folder)
    lines = (tmp_path / "page.md").read_text().splitlines()
    [predict] = [shlex.split(line)[1:] for line in lines if line.startswith("digitspot predict ")]
    assert predict[-2:] == ["--precision", "bf16"]
    (folder / "pred.json").unlink()
    assert run(predict) == 0
    assert not (folder / "pred.json").exists(), "answers that are there stay"
    assert (tmp_path / "mine-again" / "pred.json").read_bytes() == (answers / "pred.json").read_bytes()
    [evaluate] = [shlex.split(line)[1:] for line in lines if line.startswith("digitspot evaluate ")]
    assert evaluate[1] == str(tmp_path / "mine-again")


def test_answers_that_do_not_say_how_they_were_made(
    trained: Path, answers: Path, small_data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(answers, folder)
    (folder / "command.txt").unlink()
    (tmp_path / "mine-again").mkdir()
    text = report(tmp_path / "page.html", small_data / "test.json", trained, "--answers", folder)
    said = " ".join(Page(text).words)
    assert "do not say which command wrote them" in said
    assert f"--output {tmp_path / 'mine-again-2'}\n" in said


def test_fused_answers_say_their_command(answers: Path, small_data: Path, tmp_path: Path) -> None:
    words = ["fuse", *[str(answers)] * 2, "--labels", str(small_data / "test.json"), f"--output={tmp_path}"]
    assert run(words) == 0
    assert read_command(tmp_path) == ["digitspot", *words]


@pytest.mark.parametrize("kept", [1, 0])
def test_digits_that_the_labels_do_not_have(
    kept: int, answers: Path, small_data: Path, tmp_path: Path
) -> None:
    document = json.loads((small_data / "test.json").read_text())
    document["annotations"] = [
        {**each, "category_id": document["categories"][4]["id"]} for each in document["annotations"] if kept
    ]
    (tmp_path / "test.json").write_text(json.dumps(document))
    (tmp_path / "test").symlink_to(small_data / "test")
    text = report(tmp_path / "page.html", tmp_path / "test.json", answers, answers)
    Page(text)
    assert "-1.00" not in text
    assert "-100" not in text
    [chart] = re.findall(r"<figcaption>AP of each digit.*?</svg>", text, re.DOTALL)
    assert len(re.findall(r"<title>[^<]*: [\d.]+</title>", chart)) == 2 * kept
    markdown = (tmp_path / "page.md").read_text()
    assert ("| mAP | - | - |" in markdown) == (not kept)
    assert markdown.count("| mAP |") == 1 + kept, "no difference of what is not defined"


def test_the_markdown_replaces_its_own_only(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(trained), "--output", str(tmp_path / "README.html")]
    assert run(words) == 0
    assert run(words) == 0, "an earlier report"
    (tmp_path / "README.md").write_text("# Mine\n")
    assert run(words) == 2
    said = "".join(capsys.readouterr().err.split())
    assert f"{tmp_path / 'README.md'},which`digitspotreport`didnotwrite" in said
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_options_that_would_be_ignored_are_refused(
    trained: Path, answers: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ablation.json").write_text("{}")
    other = tmp_path / "other"
    shutil.copytree(answers, other)
    labels = ["--labels", str(small_data / "test.json")]
    refused: list[tuple[list[object], int, str]] = [
        ([trained, "--answers", "typo", *labels], 3, "--answers typo holds no pred.json"),
        ([trained, "--answers", answers], 2, "without labels"),
        ([tmp_path, "--answers", answers, *labels], 2, "is an ablation, which has its own"),
        ([trained, "--answers", answers, answers, *labels], 2, "2 for 1 runs"),
        ([answers, "--answers", other, *labels], 2, "is a folder of answers itself"),
        ([trained, *labels], 2, "without answers to compare them with"),
    ]
    for arguments, code, words in refused:
        assert run(["report", *map(str, arguments), "--output", str(tmp_path / "page.html")]) == code, words
        assert "".join(words.split()) in "".join(capsys.readouterr().err.split())
    assert not (tmp_path / "page.html").exists()
    report(tmp_path / "page.html", small_data / "test.json", trained, answers, "--answers", answers, answers)


def test_some_have_answers(trained: Path, answers: Path, small_data: Path, tmp_path: Path) -> None:
    text = report(tmp_path / "page.html", small_data / "test.json", trained, answers)
    assert "Without answers: short." in text


def test_an_ablation(
    answers: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interval = {"value": 0.03, "low": 0.01, "high": 0.05, "level": 0.95}
    found = {"over_seeds": interval, "over_images": interval, "together": interval, "verdict": "better"}
    seed = {"mean_ap": 0.3, "accuracy": 0.6, "images_seen": 24, "seconds": 60.0, "peak_bytes": 2**30}
    variant = {"name": "none", "trained_as": "none", "seeds": {"0": seed, "1": seed}, "less_baseline": {}}
    other = {**variant, "name": "on features", "less_baseline": {"mean_ap": found, "accuracy": found}}
    figures = {"columns": ["variant", "peak MiB"], "rows": [["none", "1,024"], ["on features", "1,024"]]}
    differences = {
        "columns": ["variant", "difference", "verdict"],
        "rows": [["on features", "+3.00", "better"]],
    }
    document = {"name": "dropout", "question": "Why?", "split": "test", "baseline": "none",
                "figures": figures, "figures_note": "", "differences": differences, "differences_note": "",
                "notes": ["Because."],
                "names": {"mean_ap": "mAP", "accuracy": "accuracy"},
                "command": ["digitspot", "ablate", "a b.yaml"], "variants": [variant, other],
                "failures": []}  # fmt: skip
    (tmp_path / "ablation.json").write_text(json.dumps(document))
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "none-0").symlink_to(answers)
    text = report(tmp_path / "page.html", small_data / "test.json", tmp_path)
    Page(text)
    assert "+3.00" in text
    assert 'class="better"' in text
    assert "1,024" in text
    assert "Paired bootstrap over images" not in text, "one seed is no verdict beside that of all"

    command = ["digitspot", "ablate", "the recipe.yaml", "--data", "d", "--output", "runs/dropout"]
    (tmp_path / "ablation.json").write_text(json.dumps({**document, "command": command}))
    said = " ".join(Page(report(tmp_path / "page.html", small_data / "test.json", tmp_path)).words)
    assert "digitspot ablate 'the recipe.yaml' --data d --output runs/dropout" in said
    assert not re.search("digitspot (train|predict|evaluate)", said), "one command repeats it"

    labels = json.loads((small_data / "test.json").read_text())
    gone = labels["images"].pop()["id"]
    labels["annotations"] = [each for each in labels["annotations"] if each["image_id"] != gone]
    (tmp_path / "other.json").write_text(json.dumps(labels))
    assert run(["report", str(tmp_path), "--labels", str(tmp_path / "other.json")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert f"image {gone} is not in the labels" in said
    assert "The ablation answered its split 'test'" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing"], 3, "neither a training nor answers"),
        (["missing", "--output", "page.pdf"], 2, "does not end in .html"),
        ([], 2, "no run to report on"),
    ],
)
def test_what_is_refused(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["report", *arguments]) == code
    assert words in " ".join(capsys.readouterr().err.split())
