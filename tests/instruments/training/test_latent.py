"""`neural-fx train-instrument --family latent`: releases, duplicates, held-out pitches, training, and the presets."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from instruments import InstrumentFamily  # noqa: E402
from instruments.families import FAMILIES  # noqa: E402
from instruments.latent.files import read_network, save_network  # noqa: E402
from instruments.latent.instrument import Latent  # noqa: E402
from instruments.latent.network import LatentNetwork, Sizes  # noqa: E402
from instruments.latent.training import one_shots, own_notes, own_report, own_trainer  # noqa: E402
from instruments.latent.training.dataset import LONG_TICKS  # noqa: E402
from instruments.latent.training.model import LatentModel  # noqa: E402
from instruments.training.contract import OneShot  # noqa: E402
from tests.conftest import Run  # noqa: E402
from tests.instruments.training.makers import RATE, tone, write  # noqa: E402

Command = list[object]
TINY = Sizes(timbre=4, note=16, frame=16, summary=8, encoder=16)
NOTES = {"C3": 48, "E3": 52, "G#3": 56, "C4": 60}


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny network that stands for the bundled one."""
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    path = tmp_path / "tiny.safetensors"
    save_network(
        path, LatentNetwork(LatentModel(TINY).weights()), {f"preset {i}": random.normal(size=4) for i in range(3)}
    )
    monkeypatch.setattr(one_shots, "WEIGHTS", path)
    monkeypatch.setattr(own_trainer, "REFINING_STEPS", 5)
    return path


@pytest.fixture
def command(tmp_path: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command that trains two small presets for seconds."""
    FAMILIES.names()  # finds them
    family = InstrumentFamily("latent", Latent, lambda: (), Latent, trainer=lambda: one_shots.TRAINER)
    monkeypatch.setitem(FAMILIES._members, "latent", family)
    folder = tmp_path / "notes"
    for seed, name in enumerate(("pluck", "Mallet")):
        for note, midi in NOTES.items():
            write(folder, f"{name} {note} v100.wav", tone(midi, 0.5, seed))
    out = tmp_path / "mine.safetensors"
    return ["train-instrument", folder, "--family", "latent", "-o", out, "--minutes", 0.03, "--threads", 1]


def test_a_release_is_where_the_level_begins_to_fall_faster() -> None:
    times = np.arange(2 * RATE) / RATE
    wave = np.sin(2 * np.pi * 220 * times)
    held = (wave * np.where(times < 1.5, 1, np.exp(-30 * (times - 1.5)))).astype(np.float32)
    release = own_notes.release_sample(held, 0, len(held))
    assert release is not None
    assert release / RATE == pytest.approx(1.5, abs=0.1)
    plucked = (wave * np.exp(-3 * times)).astype(np.float32)
    assert own_notes.release_sample(plucked, 0, len(plucked)) is None
    damped = (plucked * np.where(times < 1, 1, np.exp(-40 * np.maximum(times - 1, 0)))).astype(np.float32)
    release = own_notes.release_sample(damped, 0, len(damped))
    assert release is not None
    assert release / RATE == pytest.approx(1.0, abs=0.1)
    assert own_notes.release_sample(wave[:4800].astype(np.float32), 0, 4800) is None


def test_duplicates_have_the_same_pitch_and_velocity() -> None:
    def shot(audio: np.ndarray, pitch: float = 60, velocity: int = 100, instrument: str = "a") -> OneShot:
        return OneShot("x", audio, pitch, velocity, "", instrument)

    sound = tone(60)
    later = np.concatenate((np.zeros(999, np.float32), 0.3 * sound))
    shots = [
        shot(sound),
        shot(later),
        shot(sound, velocity=60),
        shot(sound, instrument="b"),
        shot(tone(60, seed=3)),
    ]
    found = [related.duplicate_of for related in own_notes.related_notes(shots)]
    assert found == [None, 0, None, None, None]


def test_held_out_pitches_leave_the_ends_and_a_long_note() -> None:
    shots = [OneShot(f"{p}", 0.1 * tone(p, 0.5), float(p), 100, "", "Bell") for p in range(40, 80, 4)]
    notes = own_notes.analysed(shots, lambda fraction, text: None)
    assert all(note.frames.release > max(note.frames.end, LONG_TICKS) for note in notes)
    (instrument,) = own_notes.own_instruments(notes, -30.0, 0)
    assert instrument.name == "bell"
    assert len(instrument.held_out_pitches) == 1
    assert not instrument.held_out_pitches & {40.0, 76.0}
    levels = [own_notes.loudest_db(note.levels) for note in instrument.notes]
    assert np.median(levels) == pytest.approx(-30, abs=0.5)
    few = own_notes.own_instruments(notes[:3], -30.0, 0)
    assert few[0].held_out_pitches == frozenset()


def test_two_presets_are_learned_and_play(
    run: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(one_shots, "TUNING_RATE", 1e-2)  # the tiny network knows nothing
    status, out, err = run(*command, "--json", "--report")
    assert status == 0, err
    found = json.loads(out)
    assert sorted(file["pitch"] for file in found["files"]) == [48, 48, 52, 52, 56, 56, 60, 60]
    words = found["findings"][0]
    after, before = (float(number) for number in re.findall(r"([\d.]+) dB (?:from|before)", words))
    assert after < before
    assert words.startswith("2 held-out notes")
    assert (tmp_path / "mine.html").exists()
    file = read_network(tmp_path / "mine.safetensors")
    assert set(file.presets) == {"pluck", "mallet"}
    assert file.metadata["data"] == "4 notes of mallet, 4 notes of pluck"
    assert file.network.sizes == TINY
    note = [mido.Message("note_on", note=55, velocity=100)]
    assert np.isfinite(Latent("pluck", tmp_path / "mine.safetensors")(note, 0.2, 48000)).all()


def signalled(during: int) -> Callable[..., float]:
    plain = one_shots.OwnLatent._step

    def step(self: one_shots.OwnLatent, *arguments: object) -> float:
        if self.step == during - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *arguments)  # type: ignore[arg-type]

    return step


def test_a_stopped_training_continues(
    run: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(one_shots.OwnLatent, "_step", signalled(2))
        status, _, err = run(*command, "--minutes", 10, "--no-report")
    assert status == 130, err
    assert "stopped after 2 steps" in err
    assert read_network(tmp_path / "mine.safetensors").metadata["steps"] == 2
    write(tmp_path / "notes", "pluck A4.wav", tone(69, 0.5))
    status, _, err = run(*command, "--no-report", "--resume")
    assert status == 2
    assert "differs in recordings" in err
    (tmp_path / "notes" / "pluck A4.wav").unlink()
    status, _, err = run(*command, "--no-report", "--resume")
    assert status == 0, err
    assert read_network(tmp_path / "mine.safetensors").metadata["steps"] > 2


def test_training_is_the_same_after_a_checkpoint(bundled: Path, tmp_path: Path) -> None:
    shots = [OneShot(f"{p}", tone(p, 0.4), float(p), 100, "", "a") for p in (50, 55, 60)]
    notes = own_notes.analysed(shots, lambda fraction, text: None)
    settings = own_trainer.Settings()

    def steps(trainer: one_shots.OwnLatent, count: int) -> list[float]:
        return [trainer._step(np.random.default_rng([0, trainer.step]), 0.1) for _ in range(count)]

    trainer = one_shots.OwnLatent(notes, settings, read_network(bundled))
    steps(trainer, 2)
    trainer.save(tmp_path / "a.ckpt")
    other = one_shots.OwnLatent(notes, settings, read_network(bundled))
    assert other.load(tmp_path / "a.ckpt") == []
    assert steps(trainer, 2) == steps(other, 2)


def test_without_a_network_to_begin_with(
    run: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_shots, "WEIGHTS", tmp_path / "nothing.safetensors")
    monkeypatch.setattr(own_report, "MOST_MEASURED", 2)
    status, _, err = run(*command)
    assert status == 2
    assert "no network to begin with; add --from-scratch" in err
    status, _, err = run(*command, "--from-scratch", "--no-report")
    assert status == 0, err
    assert read_network(tmp_path / "mine.safetensors").network.sizes == Sizes()


def test_the_registered_family_has_this_trainer() -> None:
    if "latent" in FAMILIES:
        trainer = FAMILIES["latent"].trainer
        assert trainer is not None, "set `trainer` in FAMILY of instruments/latent/instrument.py"
        assert trainer() is one_shots.TRAINER
