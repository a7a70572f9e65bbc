from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from demos.autoregressive import train
from demos.autoregressive.batches import Windows
from demos.autoregressive.evaluation import linear_bits, network_bits
from demos.autoregressive.notes import Note, followed, pack, read_notes
from demos.autoregressive.performances import performance
from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes
from neural_fx.networks.autoregressive.files import read_network
from neural_fx.networks.autoregressive.model import build
from neural_fx.networks.autoregressive.signal import Signal

SIGNAL = Signal()
VOICES = ("high", "low")
SMALL = {"wavenet": WaveNetSizes(6, 10, (1, 2, 4)), "recurrent": RecurrentSizes(8, 4, 6)}


def tone(hz: float, seconds: float = 1.0, phase: float = 0.0, weak: float = 1.0) -> np.ndarray:
    turns = hz * np.arange(int(seconds * SIGNAL.rate)) / SIGNAL.rate + phase
    return weak * np.cos(2 * np.pi * turns) + 0.5 * np.cos(4 * np.pi * turns + 1) + 0.1 * np.cos(6 * np.pi * turns)


def note(pitch: int, voice: int, held_out: bool = False) -> Note:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    audio = tone(hz) * np.minimum(1, np.arange(24000) / 2400)
    cycles, pitches = followed(audio, hz, SIGNAL)
    levels = np.maximum(SIGNAL.measured_levels(SIGNAL.emphasized(audio)), -70)
    classes = SIGNAL.encode(SIGNAL.pack(audio, levels)).astype(np.uint8)
    return Note(voice, pitch, 80, 480, 19200, held_out, classes, pitches, cycles, levels)


@pytest.fixture(scope="module")
def notes() -> list[Note]:
    return [note(81, 0), note(57, 1), note(60, 1), note(59, 1, held_out=True), note(80, 0, held_out=True)]


@pytest.mark.parametrize("weak", [1.0, 0.02])
def test_the_phase_of_a_tone_is_followed(weak: float) -> None:
    cycles, hz = followed(tone(200.5, phase=0.3, weak=weak), 200.0, SIGNAL)
    expected = 0.3 + 200.5 * np.arange(len(cycles)) * SIGNAL.hop / SIGNAL.rate
    inner = slice(10, -10)
    np.testing.assert_allclose(hz[inner], 200.5, atol=0.05)
    if weak == 1.0:
        off = cycles[inner] - expected[inner]
        np.testing.assert_allclose(off - np.rint(off), 0, atol=0.01)


def test_packed_notes_are_read(notes: list[Note], tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(pack(notes, {"voices": VOICES}))
    found, about = read_notes(tmp_path / "notes", SIGNAL)
    assert about == {"voices": list(VOICES)}
    for one, other in zip(notes, found, strict=True):
        np.testing.assert_array_equal(other.classes, one.classes)
        np.testing.assert_allclose(1200 * np.log2(other.hz / one.hz), 0, atol=0.2)
        np.testing.assert_allclose(np.diff(other.cycles), np.diff(one.cycles), atol=1e-4)
        np.testing.assert_allclose(other.levels_db, one.levels_db, atol=0.05)
        assert (other.voice, other.pitch, other.onset, other.held_out) == (
            one.voice,
            one.pitch,
            one.onset,
            one.held_out,
        )


def test_windows_are_those_of_the_notes(notes: list[Note]) -> None:
    model = build(Description(SMALL["wavenet"], voices=VOICES))
    windows = Windows(notes, SIGNAL, torch.device("cpu"))
    chosen, starts = torch.tensor([1, 2]), torch.tensor([0, 1000])
    batch = windows.window(model, chosen, starts, 500)
    np.testing.assert_array_equal(batch.classes[1].numpy(), notes[2].classes[1000:1500])
    np.testing.assert_array_equal(batch.previous[1].numpy(), notes[2].classes[999:1499])
    assert batch.previous[0, 0] == SIGNAL.zero
    for row, (index, start) in enumerate(((1, 0), (2, 1000))):
        own = notes[index]
        whole = model.conditions(
            torch.from_numpy(own.frames(SIGNAL))[None],
            torch.from_numpy(np.interp(np.arange(2000) / SIGNAL.hop, np.arange(len(own.cycles)), own.cycles))[None],
            model.voices[own.voice][None],
        )
        torch.testing.assert_close(batch.conditions[row], whole[0, start : start + 500], rtol=0, atol=1e-4)


def test_a_window_read_faster_is_that_of_a_higher_note(notes: list[Note]) -> None:
    speed = 1.06
    model = build(Description(SMALL["wavenet"], voices=VOICES))
    windows = Windows(notes[1:2], SIGNAL, torch.device("cpu"))
    own, start, samples = notes[1], 4000, 2000
    batch = windows.window(model, torch.tensor([0]), torch.tensor([start]), samples, speeds=torch.tensor([speed]))
    # The note is a tone of three harmonics at a constant level here, so any sample of it is known.
    at = start + speed * np.arange(samples)
    lowest, highest = start - 200, int(at[-1]) + 200
    source = SIGNAL.decode(own.classes[lowest:highest].astype(int))
    turns = 2j * np.pi * own.hz[50] / SIGNAL.rate
    basis = np.exp(turns * np.outer(np.arange(lowest, highest), np.arange(-3, 4)))
    weights = np.linalg.lstsq(basis, source.astype(complex), rcond=None)[0]
    expected = (np.exp(turns * np.outer(at, np.arange(-3, 4))) @ weights).real
    error = SIGNAL.decode(batch.classes[0].numpy()) - expected
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.sqrt(np.mean(expected**2))
    np.testing.assert_array_equal(batch.previous[0, 1:], batch.classes[0, :-1])

    pitch, _, onset, released = batch.conditions[0, :, :4].detach().numpy().T
    np.testing.assert_allclose(pitch, np.log2(speed * own.hz[50] / 261.63), atol=1e-3)
    np.testing.assert_allclose(onset, np.exp(-(at - own.onset) / speed / SIGNAL.rate / 0.06), atol=2e-3)
    np.testing.assert_array_equal(released, 0)
    cycles = np.interp(at / SIGNAL.hop, np.arange(len(own.cycles)), own.cycles)
    np.testing.assert_allclose(batch.conditions[0, :, 4].detach(), np.sin(2 * np.pi * cycles), atol=5e-3)


def test_chosen_windows_have_other_pitches_unless_told_not_to(notes: list[Note]) -> None:
    torch.manual_seed(0)
    model = build(Description(SMALL["wavenet"], voices=VOICES))
    found = []
    for semitones in (0.0, 2.0):
        windows = Windows(notes[:1], SIGNAL, torch.device("cpu"), semitones)
        pitches = windows.choose(model, 60, 500, 100).conditions[:, 250, 0].detach().numpy()
        found.append(12 * pitches - 12 * np.log2(notes[0].hz[50] / 261.63))
    np.testing.assert_allclose(found[0], 0, atol=0.05)
    assert found[1].min() < -1
    assert found[1].max() > 1
    assert np.abs(found[1]).max() < 2.05
    assert (np.abs(found[1]) < 0.01).sum() >= 4


def test_chosen_windows_count_from_the_start_of_a_note_only(notes: list[Note]) -> None:
    torch.manual_seed(0)
    model = build(Description(SMALL["wavenet"], voices=VOICES))
    batch = Windows(notes, SIGNAL, torch.device("cpu")).choose(model, 60, 600, 100)
    assert batch.counted[:, 100:].all()
    assert 0 < batch.counted[:, 0].sum() < 30
    noisy = batch.previous[:, 1:] != batch.classes[:, :-1]
    assert 0.2 < noisy.any(dim=1).float().mean() < 1
    assert batch.previous.min() >= 1
    assert batch.previous.max() <= 255


def test_bits_are_those_of_every_instrument(notes: list[Note]) -> None:
    linear = linear_bits(notes, SIGNAL, VOICES)
    assert list(linear) == [*VOICES, "all"]
    assert linear["all"] < 5
    model = build(Description(SMALL["recurrent"], voices=VOICES))
    assert 6 < network_bits(model, notes, torch.device("cpu"), 2)["all"] < 10


def test_a_performance_has_levels(notes: list[Note]) -> None:
    found = performance(notes[1:3], 0.0, SIGNAL)
    assert len(found["attack_db"]) == 100
    assert found["attack_db"][0] < -10
    assert abs(found["attack_db"][-1]) < 1


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize("kind", SMALL)
def test_training_writes_a_file(
    kind: str,
    engine: str,
    notes: list[Note],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "notes").write_bytes(pack(notes, {"voices": VOICES, "performances": {}}))
    out = tmp_path / "net"
    arguments = [kind, "--notes", str(tmp_path / "notes"), "-o", str(out), "--seconds", "2"]
    arguments += ["--evaluation-seconds", "0", "--device", "cpu", "--samples", "512", "--engine", engine]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    monkeypatch.setattr(train, "SIZES", SMALL)
    train.main()
    file = read_network(out)
    assert file.description.kind == kind
    assert file.metadata["steps"] >= 1
    assert file.metadata["bits"]["held_out"]["all"] < 9
    assert "held_out" in capsys.readouterr().out
