"""Checkpoint files: a full disk and damaged files are said in words, and the file before stays."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from digitspot.errors import CheckpointError
from digitspot.training.checkpoint import load_state, save_training

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from digitspot.errors import DigitspotError
from digitspot.training.checkpoint import save_training
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    save_training({"weights": torch.zeros(100_000)}, Path(sys.argv[1]))
except DigitspotError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_training({"epoch": 1}, path)
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True)
    assert done.stdout.startswith(f"cannot write {path}: "), done.stdout + done.stderr
    assert load_state(path, kind="training")["epoch"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["last.pt"]


def test_cut_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_training({"weights": torch.arange(50)}, path)
    whole = path.read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match=r"last\.pt cannot be read"):
            load_state(path, kind="training")


@pytest.mark.parametrize(
    ("content", "words", "reason"),
    [
        ({"kind": "model", "format": 1}, "holds model, expected a training", "the other kind"),
        ({"weights": torch.zeros(1)}, "something else", "a state dict"),
        ([1], "something else", "a list"),
        ({"kind": "training", "format": 99}, "has format 99", "of a later version"),
    ],
)
def test_other_files(content: object, words: str, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=words):
        load_state(tmp_path / "last.pt", kind="training")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_state(tmp_path / "absent.pt", kind="training")
