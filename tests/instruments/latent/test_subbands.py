"""Envelopes of narrow bands, and noise in bands."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.latent.noise import BANDS, CENTRES, BandTransforms
from instruments.latent.subbands import HOP, RATE, Subbands, fast_size, hann_integral, hann_response

TIMES = np.arange(48000) / RATE


def test_the_envelope_of_a_sinusoid_is_its_amplitude() -> None:
    subbands = Subbands(48000)
    spectrum = subbands.spectrum(0.3 * np.cos(2 * np.pi * 1000.3 * TIMES + 1))
    envelopes = subbands.envelopes(spectrum, subbands.centres(np.array([1000.3, 1200.0])), 0.04)
    np.testing.assert_allclose(np.abs(envelopes[0, 10:-10]), 0.3, rtol=1e-3)
    assert np.abs(envelopes[1, 10:-10]).max() < 0.3 * 0.02
    # At both ends, half of the window sees the signal.
    assert abs(envelopes[0, 0]) == pytest.approx(0.3 * subbands.inside(0.04)[0], rel=0.02)


def test_what_is_measured_can_be_taken_out() -> None:
    subbands = Subbands(48000)
    tone = np.cos(2 * np.pi * 1000.3 * TIMES) * np.hanning(48000)
    spectrum = subbands.spectrum(tone)
    centre = subbands.centres(np.array([1000.3]))
    subbands.add(spectrum, -subbands.envelopes(spectrum, centre, 0.02)[0], int(centre[0]))
    assert np.abs(subbands.signal(spectrum)).max() < 2e-4


def test_the_window_response_is_that_of_a_window() -> None:
    window = np.hanning(2402)[1:-1]
    window /= window.sum()
    frequencies = np.array([0.0, 10.0, 20.0, 50.0, 77.0])
    times = (np.arange(2400) - 1199.5) / RATE
    expected = (window * np.cos(2 * np.pi * np.outer(frequencies, times))).sum(axis=1)
    np.testing.assert_allclose(hann_response(frequencies, 0.05), expected, atol=1e-3)
    np.testing.assert_allclose(hann_integral(np.array([-1, 0, 1.0]), 0.05), [0, 0.5, 1], atol=1e-12)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 8), (11, 12), (1201, 1215)])
def test_fast_sizes(count: int, expected: int) -> None:
    assert fast_size(count) == expected


def test_noise_of_level_1_is_flat_and_measured_as_1() -> None:
    bands = BandTransforms(Subbands(96000))
    sound = bands.play(np.ones((bands.subbands.frames, BANDS)), seed=3)
    # A density of 1 per Hz over the bands' 20 kHz.
    inner = np.abs(np.fft.rfft(sound)) ** 2 * 2 / RATE / 96000
    hz = np.fft.rfftfreq(96000, 1 / RATE)
    for low in (100, 1000, 5000, 15000):
        assert inner[(hz > low) & (hz < 1.25 * low + 300)].mean() == pytest.approx(1, rel=0.2)
    levels = bands.levels(bands.subbands.spectrum(sound), np.full(bands.subbands.frames, 0.02))
    decibels = 10 * np.log10((levels[20:-20] ** 2).mean(axis=0))
    assert np.abs(decibels).mean() < 0.5
    assert np.abs(decibels[CENTRES > 300]).max() < 1.2


def test_noise_follows_its_level_in_time() -> None:
    bands = BandTransforms(Subbands(48000))
    levels = np.full((bands.subbands.frames, BANDS), 1e-4)
    levels[: round(0.2 * RATE / HOP)] = 1
    sound = bands.play(levels)
    loud, quiet = sound[2400:7200], sound[16800:45600]
    # 80 dB apart, as asked for: the loud part does not ring.
    assert 20 * np.log10(loud.std() / quiet.std()) == pytest.approx(80, abs=1.5)


def test_no_level_is_no_noise() -> None:
    bands = BandTransforms(Subbands(4800))
    assert not bands.play(np.zeros((bands.subbands.frames, BANDS))).any()
    assert not bands.levels(bands.subbands.spectrum(np.zeros(4800)), np.full(bands.subbands.frames, 0.02)).any()
