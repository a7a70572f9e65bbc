"""Frames in files, training, presets and what a network is compared with, on notes that are made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demos.instruments import frame_cache, latent_rivals
from demos.instruments.evaluate_latent import frame_errors, pitch_error
from demos.instruments.frame_cache import load_frames, notes_of_part, program_held_out, save_frames
from demos.instruments.latent_notes import Notes
from demos.instruments.note_cache import Plan, held_out
from instruments.general_midi import sound_name
from instruments.latent.files import read_network
from instruments.latent.frames import HARMONICS, LEVELS, SILENT_DB, SLOTS, NoteFrames, frame_ticks
from instruments.latent.network import Sizes

ROOT = Path(__file__).parents[3]
PROGRAMS = (0, 1, 2)


def made_up(program: int, pitch: int, velocity: int, release: int) -> NoteFrames:
    """Return a note whose harmonics fall by 6 dB an octave and another 6, 12 or 18 dB by program."""
    ticks = frame_ticks(release, release + 40)
    k = np.arange(1, HARMONICS + 1)
    levels = np.full((len(ticks), LEVELS), SILENT_DB)
    levels[:, :HARMONICS] = -20 - 20 * (1 + program) * np.log10(k) + (velocity - 120) / 4
    levels[ticks >= release, :HARMONICS] -= 30
    levels[:, HARMONICS + SLOTS :] = -90
    return NoteFrames(
        pitch=pitch,
        velocity=velocity,
        release=release,
        end=release + 40,
        ticks=ticks,
        levels=np.maximum(levels, SILENT_DB),
        cents=np.full(len(ticks), 3.0),
        inharmonicity=1e-5,
        slot_cents=np.zeros(SLOTS),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for program in PROGRAMS:
        notes = [made_up(program, n.pitch, n.velocity, round(400 * n.hold_seconds)) for n in notes_of_part("a")]
        save_frames(frame_cache.frames_path(folder, program, "a"), notes)
    return folder


def test_the_parts_have_every_note_once() -> None:
    parts = [notes_of_part(part) for part in frame_cache.PARTS]
    assert sorted(parts[0] + parts[1], key=lambda note: note.slot_start) == Plan().notes()
    for part in parts:
        assert {note.pitch for note in part} == set(Plan().pitches)
        assert any(note.hold_seconds > 1 for note in part)


def test_files_keep_the_frames(folder: Path) -> None:
    loaded = load_frames(folder, 1, "a")
    for found, slot in zip(loaded, notes_of_part("a"), strict=True):
        expected = made_up(1, slot.pitch, slot.velocity, round(400 * slot.hold_seconds))
        np.testing.assert_array_equal(found.frames.ticks, expected.ticks)
        np.testing.assert_allclose(found.frames.levels, expected.levels, atol=0.07)
        assert (found.frames.release, found.frames.end) == (expected.release, expected.end)
        assert found.is_long == (slot.hold_seconds > 1)
        assert found.pitch_held_out == held_out(1, slot.pitch)


def test_silent_notes_are_left_out(tmp_path: Path) -> None:
    silent = NoteFrames(60, 80, 160, 0, np.zeros(0, int), np.zeros((0, LEVELS)), np.zeros(0), 0.0, np.zeros(SLOTS))
    save_frames(tmp_path / "005.b.npz", [made_up(0, 60, 80, 160), silent])
    assert len(load_frames(tmp_path, 5, "b")) == 1


def test_nothing_held_out_is_trained_on(folder: Path) -> None:
    pytest.importorskip("torch")
    import torch

    from demos.instruments.train_latent import read
    from instruments.latent.training.notes import DeviceNotes

    data = read(folder)
    notes = DeviceNotes(data, torch.device("cpu"))
    assert sum(notes.training.counts) > 100
    everywhere = torch.arange(len(PROGRAMS)).repeat(2000)
    for choices in (notes.training, notes.encodable):
        for index in choices.random(everywhere).unique().tolist():
            program = int(data.names[data.instruments[index]][-3:])
            assert not held_out(program, round(data.table[index, 0]))
            assert not program_held_out(program)
    chosen = Notes(folder).chosen(held_out_programs=False, count=1000, seed=0)
    assert chosen
    assert all(held_out(note.program, round(note.frames.pitch)) for note in chosen)


@pytest.mark.slow
def test_training_goes_on_and_finds_presets(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "latent.safetensors"

    def run(script: str, *arguments: object) -> list[dict[str, Any]]:
        command = [sys.executable, str(ROOT / "demos/instruments" / script), *map(str, arguments), "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    training = ("-o", out, "--frames", folder, "--notes", 8, "--frames-per-note", 8)
    first = run("train_latent.py", *training, "--minutes", 0.05)[-1]
    *_, last, measured = run("train_latent.py", *training, "--minutes", 0.15, "--measure")
    assert last["steps"] > first["steps"]
    assert last["harmonics"] < first["harmonics"]
    assert list(read_network(out).presets) == [sound_name(program) for program in PROGRAMS]
    held_out_pitches = next(value for name, value in measured["measures"].items() if name.endswith("held-out pitches"))
    assert 0 < held_out_pitches["harmonics"] < 30
    presets = tmp_path / "presets.safetensors"
    report = run("make_presets.py", out, "-o", presets, "--frames", folder, "--steps", 30)[-1]
    assert report["presets"] == len(PROGRAMS)
    file = read_network(presets)
    assert list(file.presets) == [sound_name(program) for program in PROGRAMS]
    assert file.network.sizes == Sizes()


def test_packed_frames_are_those_of_the_folder(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from instruments.latent.training import load_dataset

    (tmp_path / "FluidR3_GM").symlink_to(folder)
    packed = tmp_path / "frames.npz"
    command = [sys.executable, str(ROOT / "demos/instruments/pack_frames.py"), "-o", str(packed), "--json"]
    done = subprocess.run([*command, "--frames", str(tmp_path)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["instruments"] == len(PROGRAMS)
    assert report["largest_error_db"] <= 0.5
    data = load_dataset(packed)
    assert data.names == [f"FluidR3_GM/{program:03d}" for program in PROGRAMS]
    assert data.notes == len(PROGRAMS) * len(notes_of_part("a"))
    expected = [held_out(program, note.pitch) for program in PROGRAMS for note in notes_of_part("a")]
    assert data.held_out.tolist() == expected


def test_without_long_notes_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from instruments.latent.training import InstrumentNotes, Settings, dataset_of, train

    data = dataset_of([InstrumentNotes("short", [made_up(0, 60, 80, 160)])])
    with pytest.raises(ValueError, match="held for over a second"):
        train(data, tmp_path / "a.safetensors", Settings(seconds=1))


def test_refined_timbres_come_closer() -> None:
    pytest.importorskip("torch")
    from demos.instruments.refining import refined
    from instruments.latent.network import LatentNetwork
    from tests.instruments.latent.test_network import SMALL, random_weights

    network = LatentNetwork(random_weights(SMALL))
    wanted = np.array([1.0, -1.0, 0.5, 0.0])
    notes = [network.play(wanted, pitch, 80, 160, 300) for pitch in (50, 60, 70)]

    def error(timbre: np.ndarray) -> float:
        played = network.play(timbre, 60, 80, 160, notes[1].end)
        count = min(len(played.levels), len(notes[1].levels))
        return float(np.abs(played.levels[:count] - notes[1].levels[:count]).mean())

    timbres, before, after = refined(network, [np.zeros(4)], [notes], 200)
    assert after < before
    assert error(timbres[0]) < 0.5 * error(np.zeros(4))


def test_errors_are_mean_differences_in_db() -> None:
    note = made_up(0, 60, 120, 160)
    louder = made_up(0, 60, 120, 160)
    louder.levels[:] += 3
    harmonics, harmonics_80, noise = frame_errors(note, louder)
    assert harmonics == pytest.approx(3, abs=0.2)
    assert harmonics_80 == pytest.approx(3, abs=0.2)
    assert noise == pytest.approx(3, abs=0.2)
    assert frame_errors(note, note) == (0, 0, 0)
    louder.cents[:] = -4
    assert pitch_error(note, louder) == pytest.approx(7)


def test_rivals() -> None:
    notes = [made_up(0, pitch, velocity, 160) for pitch in (48, 56, 64) for velocity in (40, 120)]
    wanted = made_up(0, 57, 110, 161)
    near = latent_rivals.nearest(notes, wanted)
    assert near.pitch == 57
    np.testing.assert_array_equal(near.levels, notes[3].levels)
    mean = latent_rivals.mean([made_up(0, 57, 40, 160), made_up(0, 57, 120, 160)], wanted)
    assert mean.levels[3, 0] == pytest.approx(-30)
    sine = latent_rivals.sine(wanted)
    power = (10 ** (wanted.levels[3, :HARMONICS] / 10)).sum()
    assert sine.levels[3, 0] == pytest.approx(10 * np.log10(power))
    assert (sine.levels[:, 1:] == SILENT_DB).all()
