"""Checkpoint files: a full disk and damaged files are said in words, and the file before stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from digitspot.training.checkpoint import load_training, save_training

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
    assert load_training(path)["epoch"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["last.pt"]
