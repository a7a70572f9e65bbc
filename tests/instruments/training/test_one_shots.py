"""Folders of one-shots: what is read, what is measured, and why files are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from instruments.drums.training.one_shots import TRAINER as DRUMS
from instruments.drums.training.own_kit import held_out_groups
from instruments.training.contract import FamilyTrainer
from instruments.training.labels import Label, Labels
from instruments.training.one_shots import Entry, read_folder
from neural_fx.errors import TrainingError
from tests.instruments.training.makers import drum_folder, tone, write

PITCHED = FamilyTrainer(start=DRUMS.start, pitched=True, least_seconds=0.1)


def by_name(folder: Path, trainer: FamilyTrainer, labels: Labels | None = None) -> dict[str, Entry]:
    return {entry.name: entry for entry in read_folder(folder, trainer, labels).entries}


def test_every_file_is_used_or_has_a_reason(tmp_path: Path) -> None:
    folder = drum_folder(tmp_path / "hits", 2)
    hit = 0.8 * np.asarray(np.sin(np.arange(9600) / 7) * np.linspace(1, 0, 9600), np.float32)
    write(folder, "snare silent.wav", np.zeros(4800, np.float32))
    write(folder, "snare short.wav", hit[:200])
    write(folder, "snare loud.wav", np.clip(8 * hit, -1, 1))
    write(folder, "snare long.wav", np.full(48000 * 61, 0.1, np.float32))
    write(folder, "thing.wav", hit)
    write(folder, "boxes/thing.wav", hit)
    write(folder, "claps/again.wav", np.stack((hit, hit)), 44100)
    write(folder, "kick copy.wav", np.concatenate((np.zeros(900, np.float32), _read(folder / "kick 00.wav") * 0.3)))
    (folder / "kick broken.wav").write_bytes(b"RIFFxxxx")
    rows = {"boxes/thing.wav": Label(kind="Hi-Hat Open"), "thing.wav": Label(kind="snair"), "lost.wav": Label()}
    found = by_name(folder, DRUMS, Labels(rows=rows))
    assert len(found) == 6 + 9 + 1
    problems = {name: entry.problem for name, entry in found.items() if entry.problem}
    assert problems["snare silent.wav"] == "is silent"
    assert "expected at least 10 ms" in problems["snare short.wav"]
    assert "lasts 61 s; a one-shot lasts at most 60 s" in problems["snare long.wav"]
    assert "the table says class 'snair', which is not known (did you mean 'snare'?)" in problems["thing.wav"]
    assert problems["kick copy.wav"] == "is the same sound as kick 00.wav"
    assert problems["lost.wav"] == "is in the table, but not in the folder"
    assert problems["kick broken.wav"]
    assert len(problems) == 7
    assert found["boxes/thing.wav"].kind == "open_hat"
    assert found["boxes/thing.wav"].origins["class"] == "table"
    assert found["claps/again.wav"].kind == "clap"
    assert "is clipped at" in found["snare loud.wav"].remarks[0]
    for entry in found.values():
        assert (entry.shot is None) == bool(entry.problem), entry.name
    shot = found["claps/again.wav"].shot
    assert shot is not None
    assert shot.audio.shape == (round(9600 * 48000 / 44100),)


def test_a_class_that_nobody_names_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "thing.wav", tone(60))
    (entry,) = read_folder(tmp_path, DRUMS).entries
    assert entry.problem.startswith("which class is it?")
    assert "labels.csv" in entry.problem


def test_a_missing_pitch_is_measured_or_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "bass.wav", tone(40))
    write(tmp_path, "flute.wav", tone(79))
    write(tmp_path, "C4 right.wav", tone(60))
    write(tmp_path, "C3 wrong.wav", tone(60, seed=1))
    write(tmp_path, "hiss.wav", 0.1 * np.random.default_rng(1).standard_normal(24000).astype(np.float32))
    found = by_name(tmp_path, PITCHED)
    assert (found["bass.wav"].pitch, found["flute.wav"].pitch) == (40, 79)
    assert found["bass.wav"].origins["pitch"] == "measured"
    assert found["hiss.wav"].problem.startswith("which note is it?")
    assert found["C4 right.wav"].remarks == []
    assert "is written as note 48, but sounds like 60.0" in found["C3 wrong.wav"].remarks[0]
    assert found["C3 wrong.wav"].pitch == 48


def test_another_octave_convention_is_noticed(tmp_path: Path) -> None:
    for note, midi in (("C3", 60), ("E3", 64), ("G3", 67)):
        write(tmp_path, f"Keys {note}.wav", tone(midi))
    reading = read_folder(tmp_path, PITCHED)
    assert list(reading.remarks) == ["3 files sound 1 octave higher than their names say; try --middle-c 3"]
    assert read_folder(tmp_path, PITCHED, middle_c=3).remarks == ()


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no audio files"):
        read_folder(tmp_path, DRUMS)


def test_held_out_groups_leave_every_class_something_to_learn() -> None:
    kinds = ["kick"] * 20 + ["snare"]
    groups = list(range(21))
    held = held_out_groups(kinds, groups, 0)
    assert len(held) == 3
    assert 20 not in held
    assert held == held_out_groups(kinds, groups, 0)
    assert held_out_groups(["kick"] * 5, list(range(5)), 0) == set()


def _read(path: Path) -> np.ndarray:
    import soundfile

    return np.asarray(soundfile.read(path, dtype="float32")[0])
