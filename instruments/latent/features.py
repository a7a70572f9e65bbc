"""Turn notes, pitches and times into the inputs of the network. Training and playing share them.

Levels are in units of `LEVEL_DB` around `MIDDLE_DB`, so that a network sees numbers around 0.
"""

from __future__ import annotations

import numpy as np

from instruments.latent.frames import LEVELS, NoteFrames, Ticks
from neural_fx.arrays import Doubles

LEVEL_DB = 20.0
MIDDLE_DB = -80.0
RANGE_DB = 80.0
"""Levels this far below a note's loudest count as silence, as in `distance`."""
PITCHES = np.arange(20.0, 109.0, 8.0)
PITCH_WIDTH = 8.0
VELOCITIES = np.array([20.0, 60.0, 100.0])
VELOCITY_WIDTH = 40.0
ONSET_PLACES = np.arange(0.0, 11.1, 0.75)
RELEASE_PLACES = np.arange(0.0, 9.1, 0.75)
PLACE_WIDTH = 0.75
TICKS_PER_SECOND = 400.0
WINDOWS = ((0, 2), (2, 8), (8, 20), (20, 40), (40, 80), (80, 160), (160, 320), (320, 600))
"""Ticks since the onset of the means that the encoder sees."""
RELEASE_WINDOWS = ((0, 40), (40, 200))
"""The same since the release."""

NOTE_FEATURES = len(PITCHES) + 1 + len(VELOCITIES)
TIME_FEATURES = len(ONSET_PLACES) + 1 + len(RELEASE_PLACES) + 2
SUMMARIES = len(WINDOWS) + len(RELEASE_WINDOWS)


def note_features(pitches: Doubles, velocities: Doubles) -> Doubles:
    """Return what the network sees of notes, (notes, NOTE_FEATURES).

    Args:
        pitches: MIDI notes, (notes,).
        velocities: 1 to 127, (notes,).
    """
    pitches = np.asarray(pitches, np.float64)
    velocities = np.asarray(velocities, np.float64)
    return np.concatenate(
        (
            _bumps(pitches, PITCHES, PITCH_WIDTH),
            (pitches[:, None] - 60) / 36,
            _bumps(velocities, VELOCITIES, VELOCITY_WIDTH),
        ),
        axis=1,
    )


def time_features(ticks: Doubles | Ticks, releases: Doubles | Ticks) -> Doubles:
    """Return what the network sees of times, (frames, TIME_FEATURES).

    Args:
        ticks: since the onset, (frames,).
        releases: tick of the release of each frame's note, (frames,). Infinite while it is held.
    """
    ticks, releases = np.broadcast_arrays(np.asarray(ticks, np.float64), np.asarray(releases, np.float64))
    held = ticks < releases
    after = np.where(held, 0, ticks - np.where(held, 0, releases))
    release_bumps = np.where(held[:, None], 0, _bumps(np.log2(1 + after), RELEASE_PLACES, PLACE_WIDTH))
    return np.concatenate(
        (
            _bumps(np.log2(1 + ticks), ONSET_PLACES, PLACE_WIDTH),
            ticks[:, None] / TICKS_PER_SECOND,
            release_bumps,
            after[:, None] / TICKS_PER_SECOND,
            held[:, None],
        ),
        axis=1,
    )


def floor_of(frames: NoteFrames) -> float:
    """Return the level below which a note counts as silent, in dB."""
    return float(frames.levels.max()) - RANGE_DB


def summary(frames: NoteFrames) -> Doubles:
    """Return the mean levels of parts of a note, scaled, (SUMMARIES, LEVELS): the input of the encoder.

    Args:
        frames: of a note that is held for a second or longer.
    """
    floor = floor_of(frames)
    result = np.full((SUMMARIES, LEVELS), floor)
    bounds = [*WINDOWS, *((frames.release + first, frames.release + last) for first, last in RELEASE_WINDOWS)]
    for i, (first, last) in enumerate(bounds):
        # The windows of the onset end at the release. What is after the end of the note stays silent.
        if i < len(WINDOWS):
            last = min(last, frames.release)
        chosen = (frames.ticks >= first) & (frames.ticks < last)
        if chosen.any():
            sounding = min(1.0, (frames.end - first) / max(last - first, 1))
            mean = np.maximum(frames.levels[chosen].astype(np.float64), floor).mean(axis=0)
            result[i] = sounding * mean + (1 - sounding) * floor
    return scaled(result)


def scaled(levels: Doubles) -> Doubles:
    """Return levels in dB in the network's units."""
    return (levels - MIDDLE_DB) / LEVEL_DB


def unscaled(values: Doubles) -> Doubles:
    """Return the network's numbers as levels in dB."""
    return values * LEVEL_DB + MIDDLE_DB


def _bumps(values: Doubles, places: Doubles, width: float) -> Doubles:
    """Return how near values are to places, 1 at the place itself, (values, places)."""
    return np.asarray(np.exp(-(((values[:, None] - places) / width) ** 2)))
