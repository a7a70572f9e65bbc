"""The reference circuits against what is published of the pedals, and against physics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from neural_fx.errors import TrainingError
from neural_fx.training.circuits import CIRCUITS, SpiceError, frequency_response, operating_point, simulate
from neural_fx.training.circuits.dataset import Material, generate, load
from tests.conftest import Run, noise

TS, DS1, MUFF = CIRCUITS["tube-screamer"], CIRCUITS["ds-1"], CIRCUITS["big-muff"]

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
RATE = 48000


def tone(circuit: object, peak: float, frequency: float = 440.0, seconds: float = 0.25, **turns: float) -> np.ndarray:
    """Amplitudes of harmonics 0 to 9 (V) of the output for a sine."""
    t = np.arange(int(seconds * RATE)) / RATE
    y = simulate(circuit, (peak * np.sin(2 * np.pi * frequency * t)).astype(np.float32), RATE, turns)  # type: ignore[arg-type]
    cycles = int(0.1 * frequency)
    part = y[-round(cycles / frequency * RATE) :] * np.hanning(round(cycles / frequency * RATE))
    k = 2 * np.pi * frequency / RATE * np.arange(len(part))
    return np.array([np.abs(np.sum(part * np.exp(-1j * h * k))) * (4 if h else 2) / len(part) for h in range(10)])


@needs_ngspice
def test_operating_points() -> None:
    """Half the supply at the op-amps, follower emitters one diode below, collectors where published, within 5 %."""
    ts, ds1, muff = operating_point(TS, {}), operating_point(DS1, {}), operating_point(MUFF, {})
    for node in ("b3", "c3", "ref"):
        assert ts[node] == pytest.approx(4.5, rel=0.05)
    assert ts["a2"] - ts["a3"] == pytest.approx(0.63, abs=0.05)
    assert ds1["c3"] == pytest.approx(4.5, rel=0.05)
    assert ds1["b2"] == pytest.approx(4.7, rel=0.05)  # the booster's collector, near half the supply
    assert ds1["b1"] == pytest.approx(0.65, abs=0.05)
    for node in ("a3", "c2", "d2"):
        assert muff[node] == pytest.approx(4.4, rel=0.05)


@needs_ngspice
def test_stage_gains_are_the_published_ones() -> None:
    high = [8000.0]  # above the corner of the leg to ground, below that of the feedback capacitor
    assert frequency_response(TS, {"drive": 0}, high, ("b3", "b1"))[0] == pytest.approx(21.5, abs=0.5)
    assert max(frequency_response(TS, {"drive": 1}, [1000, 2000, 4000], ("b3", "b1"))) == pytest.approx(40, abs=1.5)
    assert frequency_response(DS1, {}, [1000], ("c0", "b0"))[0] == pytest.approx(35, abs=1)
    assert frequency_response(DS1, {"dist": 0}, [1000], ("c3", "c1"))[0] == pytest.approx(0, abs=0.2)
    assert frequency_response(DS1, {"dist": 1}, [1000], ("c3", "c1"))[0] == pytest.approx(27, abs=0.5)


@needs_ngspice
def test_tone_controls() -> None:
    frequencies = [100.0, 500.0, 1000.0, 5000.0, 10000.0]
    for circuit, ratio in ((TS, ("c3", "b3")), (DS1, ("e4", "d1")), (MUFF, ("f1", "d2"))):
        dark, noon, bright = (frequency_response(circuit, {"tone": t}, frequencies, ratio) for t in (0, 0.5, 1))
        assert dark[3] < noon[3] - 3 < bright[3] - 6, circuit.name
    notch = np.geomspace(200, 5000, 25)
    muff = frequency_response(MUFF, {"tone": 0.5}, list(notch), ("f1", "d2"))
    assert 700 < notch[np.argmin(muff)] < 1300
    assert muff[[0, -1]].min() > muff.min() + 5
    # R7 and C5 alone: 723 Hz, -3 dB of the way to the second amplifier
    ts = frequency_response(TS, {"tone": 0}, [20, 4000], ("c3", "b3"))
    assert ts[0] - ts[1] > 15


@needs_ngspice
def test_clipping_threshold() -> None:
    """Silicon diodes: the clipped signal stops growing at about 0.6 V, however hard the input."""
    quiet, loud = (tone(TS, peak, drive=1.0, tone=0.5, level=1.0) for peak in (0.2, 0.4))
    assert 0.9 < loud[1] / quiet[1] < 1.6  # a part of the input goes past the diodes
    quiet, loud = (tone(DS1, peak, dist=1.0) for peak in (0.05, 0.4))
    assert 0.9 < loud[1] / quiet[1] < 1.2
    assert tone(TS, 0.001)[1] / 0.001 == pytest.approx(tone(TS, 0.002)[1] / 0.002, rel=0.02)


@needs_ngspice
def test_harmonic_balance() -> None:
    """Diodes back to back make odd harmonics; the DS-1's booster clips on one side and adds even ones."""
    ts, muff, ds1 = tone(TS, 0.3, drive=1.0), tone(MUFF, 0.3), tone(DS1, 0.3, dist=0.8)
    for harmonics in (ts, muff):
        assert np.sum(harmonics[2::2] ** 2) < 0.1 * np.sum(harmonics[3::2] ** 2)
    assert np.sum(ds1[2::2] ** 2) > 0.01 * np.sum(ds1[3::2] ** 2)


@needs_ngspice
def test_level_is_nothing_but_a_gain() -> None:
    """So it need not be learned: the wiper divides, within 0.1 dB of one gain from 80 Hz to 8 kHz."""
    for circuit in CIRCUITS.values():
        knob = next(knob.name for knob in circuit.knobs if knob.output)
        full, low = (frequency_response(circuit, {knob: t}, [80, 800, 8000]) for t in (1.0, 0.3))
        assert np.ptp(full - low) < 0.1, circuit.name


def test_knobs_are_checked() -> None:
    with pytest.raises(TrainingError, match="drive, tone, level"):
        TS.positions({"gain": 0.5})
    with pytest.raises(TrainingError, match="0 to 1"):
        TS.positions({"drive": 1.2})
    assert TS.positions({"drive": 0.5})["drive"] == pytest.approx(0.15)


def test_missing_ngspice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SpiceError, match="apt-get install ngspice"):
        operating_point(TS, {})


@needs_ngspice
def test_data_sets_resume_and_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neural_fx.training.circuits.dataset.RUN_UP", 0.02)
    soundfile.write(tmp_path / "di.wav", 0.2 * noise(RATE), RATE)
    material = Material([tmp_path / "di.wav"], seconds=0.03)
    first, second = tmp_path / "a", tmp_path / "b"
    assert list(generate(TS, first, material, 2))[-1] == 2
    list(generate(TS, second, material, 1))
    (second / "junk.part").write_text("left by a crash")
    assert list(generate(TS, second, material, 2)) == [1, 2]
    for a, b in zip(load(first), load(second), strict=True):
        np.testing.assert_array_equal(a.wet, b.wet)
        assert a.turns == b.turns
        assert a.turns[2] == 1.0
        assert np.abs(a.wet).max() > 1e-3
    (second / "00000.npz").write_bytes(b"no")
    with pytest.raises(TrainingError, match="not a segment"):
        load(second)
    with pytest.raises(TrainingError, match="holds no segments"):
        load(tmp_path)
    with pytest.raises(TrainingError, match="at least"):
        Material([tmp_path / "di.wav"])


@needs_ngspice
@pytest.mark.slow
def test_the_command(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "di.wav", 0.2 * noise(5 * RATE), RATE)
    command = ["circuit", "tube-screamer", tmp_path / "di.wav", "-o", tmp_path / "data", "--minutes", 0.05]
    status, out, _ = run(*command, "--json")
    assert (status, json.loads(out)["knobs"]) == (0, ["drive", "tone", "level"])
    assert len(load(tmp_path / "data")) == 1
    assert run("circuit", "rat", tmp_path / "di.wav", "-o", tmp_path / "x")[0] == 2
