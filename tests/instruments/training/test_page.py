"""The examples of `docs/howto/train-instrument.md`, with a training of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from tests.conftest import Run
from tests.docs.markdown import ROOT, blocks, commands
from tests.instruments.training.makers import drum_folder


def test_the_examples_of_the_page(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drum_folder(tmp_path / "my-drums")
    monkeypatch.chdir(tmp_path)
    done = 0
    for block in blocks(ROOT / "docs/howto/train-instrument.md"):
        if not block.runs:
            continue
        for command in commands(block):
            if "--minutes" in command:
                command[command.index("--minutes") + 1] = "0.02"
                command += ["--no-report", "--threads", "1"]
            status, _, err = run(*command)
            assert status == 0, err
            done += 1
        if block.language == "python":
            names: dict[str, object] = {}
            exec(block.text, names)
            assert "Drums" in str(names["drums"])
            done += 1
    assert done == 4
