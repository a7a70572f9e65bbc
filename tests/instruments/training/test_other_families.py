"""A family of somebody else is trained through the same door."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from instruments import Instrument, InstrumentFamily
from instruments.families import FAMILIES
from instruments.training import FamilyTrainer, OneShot, TrainingSettings
from neural_fx.training.course import Course
from tests.conftest import Run
from tests.instruments.training.makers import tone, write


@dataclass
class Words:
    """What its report says."""

    words: Sequence[str]


class Average:
    """Learns the mean peak of its one-shots, ten steps long."""

    def __init__(
        self, shots: Sequence[OneShot], settings: TrainingSettings, show: Callable[[float, str], None]
    ) -> None:
        self.course = Course()
        self.peaks = [float(np.abs(shot.audio).max()) for shot in shots]

    @property
    def fraction(self) -> float:
        return self.course.steps / 10

    def run(self, *, tick: Callable[[int], None]) -> None:
        while self.fraction < 1:
            self.course.steps += 1
            tick(self.course.steps)

    def validate(self) -> None:
        self.course.points.append((self.course.steps, 0.0, 0.0))

    def save(self, path: Path) -> None:
        path.write_text(str(self.course.steps))

    def load(self, path: Path) -> list[str]:
        self.course.steps = int(path.read_text())
        return ["it goes on"]

    def progress_text(self, progress: int) -> str:
        return f"step {progress}"

    def result(self) -> str:
        return f"mean peak {np.mean(self.peaks):.2f}"

    def write(self, path: Path, name: str) -> None:
        path.write_text(f"{name} {np.mean(self.peaks):.2f}")

    def report(self, path: Path) -> Words:
        path.with_suffix(".html").write_text("a page")
        return Words(["it is loud"])


def test_a_new_family_has_checks_checkpoints_and_reports(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib.figure")
    trainer = FamilyTrainer(start=Average, classes={"low": ("low", "bass"), "high": ("high",)})
    family = InstrumentFamily("average", Instrument, lambda: (), Instrument, trainer=lambda: trainer)
    FAMILIES.names()  # finds the others
    monkeypatch.setitem(FAMILIES._members, "average", family)
    write(tmp_path / "in", "Bass 1.wav", 0.5 * tone(40))
    write(tmp_path / "in", "high/2.wav", tone(80))
    write(tmp_path / "in", "3.wav", tone(60))
    out = tmp_path / "mine.safetensors"
    command = ["train-instrument", tmp_path / "in", "--family", "average", "-o", out, "--name", "my own"]
    status, text, err = run(*command, "--json")
    assert status == 0, err
    found = json.loads(text)
    assert [(file["file"], file["class"]) for file in found["files"]] == [
        ("3.wav", ""),
        ("Bass 1.wav", "low"),
        ("high/2.wav", "high"),
    ]
    assert found["findings"] == ["it is loud"]
    assert out.read_text().startswith("my own 0.")
    assert "mine.html: the report" in err
    (tmp_path / "mine.ckpt").write_text("7")
    status, _, err = run(*command, "--resume")
    assert status == 0
    assert "it goes on" in err
    assert "continuing from" in err
