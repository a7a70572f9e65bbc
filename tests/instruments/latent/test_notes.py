"""Notes to parameters and back: analytic tones, bells, vibrato, noise and silence."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.latent import NoteAnalyzer, log_spectral_distance, synthesize
from instruments.latent.distance import band_powers
from instruments.latent.parameters import HARMONICS, PARTIALS
from instruments.latent.subbands import HOP, RATE
from instruments.latent.synthesis import sinusoids

LEAD = 960


def placed(sound: np.ndarray, after: int = 4800) -> np.ndarray:
    """Return a sound with silence around it."""
    return np.concatenate((np.zeros(LEAD), sound, np.zeros(after)))


def string(f0: float, inharmonicity: float, decays: np.ndarray, seconds: float = 1.5) -> np.ndarray:
    """Return harmonics of amplitude 0.3 / k that decay at rates of their own, with an attack of 5 ms."""
    times = np.arange(round(seconds * RATE)) / RATE
    k = np.arange(1, len(decays) + 1)[:, None]
    frequencies = k * f0 * np.sqrt(1 + inharmonicity * k**2)
    waves = np.sin(2 * np.pi * frequencies * times + k) * np.exp(-decays[:, None] * times) * 0.3 / k
    return waves.sum(axis=0) * np.clip(times / 0.005, 0, 1)


@pytest.mark.parametrize(("f0", "pitch", "inharmonicity"), [(110.3, 45, 4e-4), (441.7, 69, 0.0), (82.0, 40, 1e-4)])
def test_a_string_is_recovered(f0: float, pitch: int, inharmonicity: float) -> None:
    decays = np.linspace(2, 9, 12)
    parameters = NoteAnalyzer().analyze(placed(string(f0, inharmonicity, decays)), pitch)
    assert np.abs(1200 * np.log2(parameters.f0 / f0)).max() < 0.5
    assert parameters.inharmonicity == pytest.approx(inharmonicity, rel=0.03, abs=2e-6)
    frames = np.arange(round(0.1 * RATE / HOP), round(0.8 * RATE / HOP))
    times = frames * HOP / RATE
    for k in range(1, 13):
        measured = np.log(parameters.harmonics[frames, k - 1])
        slope, level = np.polyfit(times, measured, 1)
        assert slope == pytest.approx(-decays[k - 1], abs=0.3)
        assert 20 * abs(level - np.log(0.3 / k)) / np.log(10) < 0.5
    assert 20 * np.log10(parameters.harmonics[frames, 12:].max() / 0.3) < -50


def test_a_string_sounds_the_same_again() -> None:
    note = placed(string(220.4, 2e-4, np.linspace(2, 9, 20)))
    parameters = NoteAnalyzer().analyze(note, 57)
    result = synthesize(parameters)
    assert log_spectral_distance(note, result) < 1
    assert log_spectral_distance(note, result, smoothing="mel") < 1
    assert parameters.onset == pytest.approx(LEAD, abs=2)


def test_a_bell_has_free_partials() -> None:
    frequencies = np.array([431.0, 882.3, 1203.7, 1791.1, 2610.9])
    times = np.arange(RATE) / RATE
    sound = (0.1 * np.cos(2 * np.pi * frequencies[:, None] * times) * np.exp(-4 * times)).sum(axis=0)
    parameters = NoteAnalyzer().analyze(placed(sound), 65)
    found = np.concatenate((parameters.partial_hz, parameters.f0.mean() * parameters.stretch()[:16]))
    for frequency in frequencies:
        assert np.abs(found - frequency).min() < 1
    note = placed(sound)
    assert log_spectral_distance(note, synthesize(parameters), smoothing="mel") < 1.5


def test_vibrato_is_followed() -> None:
    times = np.arange(2 * RATE) / RATE
    cents = 25 * np.sin(2 * np.pi * 5.5 * times)
    phase = 2 * np.pi * np.cumsum(440 * 2 ** (cents / 1200)) / RATE
    sound = sum(0.2 / k * np.sin(k * phase) for k in range(1, 8)) * np.clip(times / 0.02, 0, 1)
    parameters = NoteAnalyzer().analyze(placed(np.asarray(sound)), 69)
    frames = np.arange(40, 760)
    measured = 1200 * np.log2(parameters.f0[frames] / 440)
    expected = np.interp(frames * HOP, np.arange(len(cents)), cents)
    assert np.sqrt(np.mean((measured - expected) ** 2)) < 5
    note = placed(np.asarray(sound))
    assert log_spectral_distance(note, synthesize(parameters), smoothing="mel") < 1.8


def test_harmonics_that_move_by_themselves_have_deviations() -> None:
    times = np.arange(RATE) / RATE
    k = np.arange(1, 8)[:, None]
    movement = 6 * np.sin(2 * np.pi * (1 + 0.3 * k) * times + 2 * k)
    phases = 2 * np.pi * np.cumsum(330 * k + movement, axis=1) / RATE
    note = placed((0.2 / k * np.sin(phases)).sum(axis=0) * np.clip(times / 0.02, 0, 1))
    plain = NoteAnalyzer().analyze(note, 64)
    exact = NoteAnalyzer(use_deviations=True).analyze(note, 64)
    assert not plain.deviations.any()
    frames = np.arange(20, 380)
    found = exact.f0[frames, None] * exact.stretch()[:7] + exact.deviations[frames, :7]
    expected = (330 * k + movement)[:, frames * HOP].T
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.5
    assert log_spectral_distance(note, synthesize(exact)) < log_spectral_distance(note, synthesize(plain))


def test_white_noise_has_its_band_levels_again() -> None:
    note = placed(0.1 * np.random.default_rng(0).standard_normal(2 * RATE))
    result = synthesize(NoteAnalyzer().analyze(note, 60), seed=5)
    wanted, found = (band_powers(x, RATE, 2048, "mel")[10:180].mean(axis=0) for x in (note, result))
    difference = 10 * np.log10(found / wanted)
    # In 1.8 s, a band of 40 Hz has 72 independent values: two noises' levels are 1 dB apart by chance alone.
    assert np.abs(difference).mean() < 1
    assert np.abs(difference).max() < 3.5
    assert abs(difference.mean()) < 0.7
    assert np.abs(difference[-20:]).max() < 1


def test_silence_around_a_note_is_exact() -> None:
    note = placed(string(330, 0, np.full(8, 5.0), 0.5))
    parameters = NoteAnalyzer().analyze(note, 64)
    result = synthesize(parameters)
    assert len(result) == len(note)
    assert not result[: parameters.onset].any()
    assert not result[parameters.end :].any()
    assert parameters.onset >= LEAD
    assert parameters.end <= LEAD + RATE // 2


@pytest.mark.parametrize("samples", [0, 1, 240, 48000])
def test_zeros_in_are_zeros_out(samples: int) -> None:
    parameters = NoteAnalyzer().analyze(np.zeros(samples), 60)
    assert parameters.frames == 0
    np.testing.assert_array_equal(synthesize(parameters), np.zeros(samples))


@pytest.mark.parametrize("samples", [100, 300, 700, 3000])
@pytest.mark.parametrize("pitch", [21, 60, 120])
def test_very_short_sounds_are_finite(samples: int, pitch: int) -> None:
    note = placed(np.random.default_rng(1).standard_normal(samples))
    result = synthesize(NoteAnalyzer().analyze(note, pitch))
    assert len(result) == len(note)
    assert np.isfinite(result).all()


def test_the_same_seed_gives_the_same_note() -> None:
    note = placed(0.1 * np.random.default_rng(0).standard_normal(9600))
    parameters = NoteAnalyzer().analyze(note.astype(np.float32), 60)
    np.testing.assert_array_equal(synthesize(parameters, 1), synthesize(parameters, 1))
    assert not np.array_equal(synthesize(parameters, 1), synthesize(parameters, 2))
    assert parameters.harmonics.shape == (parameters.frames, HARMONICS)
    assert parameters.partials.shape == (parameters.frames, PARTIALS)


def test_the_closest_of_several_windows_is_kept() -> None:
    note = placed(string(220.4, 2e-4, np.linspace(5, 30, 20), 0.4))
    distances = [
        sum(log_spectral_distance(note, synthesize(p), smoothing=s) for s in ("bins", "mel"))
        for p in (NoteAnalyzer(windows=w).analyze(note, 57) for w in ((0.012,), (0.022,), (0.012, 0.022)))
    ]
    assert distances[2] == min(distances[:2])


def test_fast_and_general_sinusoids_agree() -> None:
    rng = np.random.default_rng(2)
    frequencies = np.tile(rng.uniform(50, 15000, 9), (40, 1))
    amplitudes = rng.uniform(0, 1, (40, 9))
    phases = rng.uniform(0, 6, 9)
    fast = sinusoids(frequencies, amplitudes, phases, 39 * HOP)
    nudged = frequencies.copy()
    nudged[-1] += 1e-6
    np.testing.assert_allclose(sinusoids(nudged, amplitudes, phases, 39 * HOP), fast, atol=1e-6)
    times = np.arange(39 * HOP)
    expected = sum(
        np.interp(times, np.arange(40) * HOP, a) * np.cos(2 * np.pi * f * times / RATE + p)
        for a, f, p in zip(amplitudes.T, frequencies[0], phases)
    )
    np.testing.assert_allclose(fast, expected, atol=1e-9)
