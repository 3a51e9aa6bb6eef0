"""The notebook docs/tour.ipynb runs from top to bottom, and its figures are plausible."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


class ThisInterpreter(AsyncKernelManager):
    """Starts the kernel with the Python that runs the tests, whatever kernels are installed."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        more = extra_arguments or []
        return [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file, *more]


def run(folder: Path) -> NotebookNode:
    """Run the notebook in a folder; what its cells print and show is in it then."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_manager_class=ThisInterpreter,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"})
    return notebook


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_it_is_committed_without_outputs_and_paths() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not outputs_of(notebook)
    sources = "".join(cell.source for cell in notebook.cells)
    assert not re.search(r"[\"'](/|~|[A-Z]:\\)", sources), "an absolute path"


@pytest.mark.timeout(1200)
def test_it_runs(tmp_path: Path) -> None:
    """Pictures are shown, and training on 200 images helps."""
    outputs = outputs_of(run(tmp_path))
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    told = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "error:" not in told
    stated = re.search(r"(\d+) train, (\d+) valid, (\d+) test", told)
    assert stated is not None
    assert re.findall(r"test images: (\d+)", told) == [stated[3]]
    figures = re.search(r"before: ([0-9.]+)  after: ([0-9.]+)\ngain: (\S+) \[(\S+), (\S+)\]", told)
    assert figures is not None
    before, after, gain, low, high = map(float, figures.groups())
    assert 0 <= before < after <= 1
    assert gain == pytest.approx(after - before, abs=0.0011)
    assert 0 < low <= gain <= high
    scored = re.findall(r"accuracy +│ (0\.\d+) +\[", told)
    assert list(map(float, scored)) == pytest.approx([before, after], abs=0.0006)
