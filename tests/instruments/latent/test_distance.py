"""The log spectral distance: its zero, its unit, its floor, and what noise measures."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.latent.distance import Smoothing, band_powers, log_spectral_distance

SMOOTHINGS: tuple[Smoothing, ...] = ("bins", "mel", "thirds")


def white(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(48000)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_gain_is_measured_in_decibels(smoothing: Smoothing) -> None:
    assert log_spectral_distance(white(0), white(0), smoothing=smoothing) == 0
    # The lowest mel band may have bins near the floor; all others move by 6.02 dB.
    assert log_spectral_distance(white(0), 2 * white(0), smoothing=smoothing) == pytest.approx(6.02, abs=0.1)


def test_independent_noises_differ_per_bin_but_hardly_in_bands() -> None:
    assert log_spectral_distance(white(0), white(1)) == pytest.approx(7.9, abs=0.3)
    assert log_spectral_distance(white(0), white(1), smoothing="mel") == pytest.approx(3.4, abs=0.2)
    assert log_spectral_distance(white(0), white(1), smoothing="thirds") == pytest.approx(4.1, abs=0.2)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_what_is_below_the_floor_does_not_count(smoothing: Smoothing) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000) * np.hanning(48000)
    assert log_spectral_distance(tone, tone + 1e-7 * white(0), smoothing=smoothing) < 0.01


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_offsets_do_not_count(smoothing: Smoothing) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000) * np.hanning(48000)
    assert log_spectral_distance(tone, tone + 0.1 * np.hanning(48000), smoothing=smoothing) < 0.1


def test_silence_and_lengths() -> None:
    silence = np.zeros(4800)
    assert log_spectral_distance(silence, silence) == 0
    assert log_spectral_distance(silence, silence + 0.1) == float("inf")
    with pytest.raises(ValueError, match="different lengths"):
        log_spectral_distance(silence, silence[1:])


@pytest.mark.parametrize("smoothing", ["mel", "thirds"])
def test_bands_add_up_to_the_bins_they_cover(smoothing: Smoothing) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)
    bins = band_powers(tone, 48000, 2048).sum(axis=1)
    np.testing.assert_allclose(band_powers(tone, 48000, 2048, smoothing).sum(axis=1)[4:-4], bins[4:-4], rtol=1e-3)
