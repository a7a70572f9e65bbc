"""Bands: levels of known signals, and distances."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.drums.bands import (
    BANDS,
    FLOOR_DB,
    FRAMES,
    RATE,
    SECONDS,
    band_hz,
    band_levels,
    frame_seconds,
    level_distance,
    limited,
)


def test_white_noise_has_0_db_everywhere() -> None:
    noise = np.random.default_rng(1).standard_normal(round(SECONDS * RATE)).astype(np.float32)
    levels = band_levels(noise)
    power = 10 ** (levels / 10)
    assert levels.shape == (BANDS, FRAMES)
    # Most frames average several windows. The last ones reach beyond the end.
    assert power[:, :-3].mean() == pytest.approx(1.0, abs=0.05)
    assert np.all(np.abs(10 * np.log10(power[:, 40:-3].mean(1))) < 1.5)


def test_the_onset_is_not_smeared() -> None:
    """A window around the onset is half empty, and must still show the full level."""
    first = []
    for seed in range(30):
        noise = np.random.default_rng(seed).standard_normal(4800).astype(np.float32)
        first.append(10 ** (band_levels(noise)[20:, 0] / 10))
    assert 10 * np.log10(np.mean(first)) == pytest.approx(0.0, abs=0.5)


def test_a_burst_ends_where_it_ends() -> None:
    noise = np.random.default_rng(1).standard_normal(RATE // 10).astype(np.float32)
    levels = band_levels(noise)
    after = frame_seconds() > 0.13
    assert levels[:, after].max() < -100


def test_a_sine_is_in_its_band() -> None:
    for hz in (60.0, 300.0, 1000.0, 5000.0):
        levels = band_levels(np.sin(2 * np.pi * hz * np.arange(RATE) / RATE).astype(np.float32))
        loudest = band_hz()[levels[:, 50].argmax()]
        assert abs(loudest - hz) < max(12.0, 0.08 * hz)


def test_frames_are_dense_at_the_onset_and_reach_the_end() -> None:
    steps = np.diff(frame_seconds())
    assert frame_seconds()[0] == 0
    assert frame_seconds()[-1] == pytest.approx(SECONDS)
    assert np.all(np.diff(steps) > 0)
    assert steps[0] < 0.003


def test_levels_do_not_depend_on_loudness() -> None:
    noise = np.random.default_rng(1).standard_normal(9600).astype(np.float32)
    quiet = limited(band_levels(0.01 * noise))
    loud = limited(band_levels(noise))
    assert quiet.max() == 0
    assert quiet.min() == FLOOR_DB
    np.testing.assert_allclose(quiet, loud, atol=0.01)


def test_the_distance_counts_sounding_frames() -> None:
    levels = np.full((BANDS, FRAMES), FLOOR_DB, np.float32)
    levels[:, :10] = -20
    other = levels.copy()
    other[:, :10] = -23
    assert level_distance(levels, levels) == 0
    assert level_distance(levels, other) == pytest.approx(3.0)
    silent = np.full((BANDS, FRAMES), FLOOR_DB, np.float32)
    assert level_distance(silent, silent) == 0
