"""Notes as few frames: what is kept, where the frames are, and playing from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instruments.latent import NoteAnalyzer, NoteParameters, log_spectral_distance, synthesize
from instruments.latent.analysis import silent
from instruments.latent.frames import (
    HARMONICS,
    LEVELS,
    SILENT_DB,
    SLOT_RATIOS,
    SLOTS,
    NoteFrames,
    frame_ticks,
    frames_of,
    parameters_of,
)
from instruments.latent.subbands import HOP, RATE

LEAD = 960
RELEASE = LEAD + 24000


def string_with_a_partial() -> np.ndarray:
    """Return a decaying string at 220 Hz with a free partial at 500 Hz, damped 0.5 s after the onset."""
    times = np.arange(RATE) / RATE
    k = np.arange(1, 13)[:, None]
    sound = (0.3 / k * np.sin(2 * np.pi * 220 * k * times + k) * np.exp(-(1 + k / 3) * times)).sum(axis=0)
    sound += 0.05 * np.sin(2 * np.pi * 500 * times) * np.exp(-3 * times)
    sound *= np.exp(-30 * np.maximum(times - 0.5, 0)) * np.clip(times / 0.004, 0, 1)
    return np.concatenate((np.zeros(LEAD), sound))


@pytest.fixture(scope="module")
def note() -> np.ndarray:
    return string_with_a_partial()


@pytest.fixture(scope="module")
def parameters(note: np.ndarray) -> NoteParameters:
    return NoteAnalyzer().analyze(note, 57)


@pytest.fixture(scope="module")
def frames(parameters: NoteParameters) -> NoteFrames:
    return frames_of(parameters, 57, 100, RELEASE)


@pytest.mark.parametrize(("release", "end"), [(200, 400), (598, 1190), (200, 150), (200, 0), (1, 5), (7, 7)])
def test_frames_are_dense_at_the_onset_and_at_the_release(release: int, end: int) -> None:
    ticks = frame_ticks(release, end)
    assert (np.diff(ticks) > 0).all()
    assert (ticks < max(end, 1)).all()
    assert ticks.tolist()[: min(20, release, end)] == list(range(min(20, release, end)))
    if release < end:
        assert release in ticks
    if len(ticks):
        assert np.diff(ticks, append=end).max() <= 8


def test_frames_keep_the_levels(parameters: NoteParameters, frames: NoteFrames) -> None:
    assert frames.release == pytest.approx(200, abs=1)
    assert frames.end == parameters.frames
    assert frames.levels.shape == (len(frames.ticks), LEVELS)
    expected = 20 * np.log10(parameters.harmonics[frames.ticks[5:20], 0])
    np.testing.assert_allclose(frames.levels[5:20, 0], expected)
    assert frames.levels.min() == SILENT_DB
    assert np.abs(frames.cents).max() < 1


def test_a_free_partial_has_the_slot_of_its_ratio(parameters: NoteParameters, frames: NoteFrames) -> None:
    slots = frames.levels[:, HARMONICS : HARMONICS + SLOTS].max(axis=0)
    loudest = int(slots.argmax())
    ratio = SLOT_RATIOS[loudest] * 2 ** (frames.slot_cents[loudest] / 1200)
    assert 1200 * abs(np.log2(ratio / (500 / 220))) < 3
    partial = int(np.argmin(np.abs(parameters.partial_hz - 500)))
    expected = 20 * np.log10(parameters.partials[frames.ticks[1:], partial])
    np.testing.assert_allclose(frames.levels[1:, HARMONICS + loudest], expected, atol=1e-9)


def test_a_note_sounds_the_same_from_its_frames(
    note: np.ndarray, parameters: NoteParameters, frames: NoteFrames
) -> None:
    played = synthesize(parameters_of(frames, len(note), parameters.onset))
    direct = synthesize(parameters)
    for smoothing in ("bins", "mel"):
        added = log_spectral_distance(note, played, smoothing=smoothing) - log_spectral_distance(
            note, direct, smoothing=smoothing
        )
        assert added < 0.4
    assert not played[: parameters.onset].any()
    assert not played[parameters.end + 2 * HOP :].any()


def test_all_partials_find_a_slot_where_they_are_apart() -> None:
    count = 16
    frequencies = 220 * SLOT_RATIOS[20 : 20 + count] * 1.01
    parameters = replace(
        silent(RATE),
        end=10 * HOP,
        f0=np.full(10, 220.0),
        harmonics=np.zeros((10, HARMONICS)),
        partial_hz=frequencies,
        partials=np.full((10, count), 0.1),
        noise=np.zeros((10, LEVELS - HARMONICS - SLOTS)),
    )
    frames = frames_of(parameters, 57, 100, 5 * HOP)
    again = parameters_of(frames, RATE, 0)
    np.testing.assert_allclose(again.partial_hz, frequencies, rtol=1e-6)
    np.testing.assert_allclose(again.partials[1:5], 0.1, rtol=1e-6)


def test_silence_has_no_frames() -> None:
    frames = frames_of(silent(4800), 60, 100, 960)
    assert len(frames.ticks) == 0
    np.testing.assert_array_equal(synthesize(parameters_of(frames, 4800, 0)), np.zeros(4800))
