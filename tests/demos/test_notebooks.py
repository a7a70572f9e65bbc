"""The notebooks run from beginning to end, and are stored without outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "demos/notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat", reason='the notebooks need pip install "neural-fx[notebooks]"')
nbclient = pytest.importorskip("nbclient", reason='the notebooks need pip install "neural-fx[notebooks]"')
pytest.importorskip("ipykernel", reason='the notebooks need pip install "neural-fx[notebooks]"')


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def outputs(notebook: Any, kind: str) -> list[str]:
    """Return the outputs of a MIME type, in order."""
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    return [data[kind] for data in shown if kind in data]


def printed(notebook: Any) -> str:
    texts = (output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    return "".join(texts)


def execute(name: str, work: Path) -> Any:
    """Execute a notebook in a kernel of its own, and return it with outputs.

    Args:
        name: file name in `demos/notebooks`.
        work: working directory of the kernel.
    """
    notebook = read(ROOT / "demos/notebooks" / name)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert list(work.iterdir()) == []
    return notebook


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["chains.ipynb", "train_capture.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 32_000
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.slow
def test_chains(tmp_path: Path) -> None:
    notebook = execute("chains.ipynb", tmp_path)
    assert len(outputs(notebook, "image/png")) == 4
    assert sum("<audio" in html for html in outputs(notebook, "text/html")) == 7
    assert "- parallel:" in printed(notebook)


@pytest.mark.slow
def test_train_capture(tmp_path: Path) -> None:
    notebook = execute("train_capture.ipynb", tmp_path)
    assert len(outputs(notebook, "image/png")) == 3
    assert sum("<audio" in html for html in outputs(notebook, "text/html")) == 5
    assert "measured latency: 40 samples" in printed(notebook)
    assert "ESR over the riff: " in printed(notebook)
