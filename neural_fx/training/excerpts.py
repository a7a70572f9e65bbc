"""Choose the excerpts of a recording to show in a report: loud, not masked, and without stuck samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.training.pairs import Pair

STUCK_SECONDS = 0.002
"""Seconds from which on equal samples are a fault or digital silence, not a waveform."""


def stuck(signal: NDArray[Any], sample_rate: float) -> NDArray[np.bool_]:
    """Return where a signal is stuck: within runs of equal samples of `STUCK_SECONDS` or more.

    Args:
        signal: (samples,).
        sample_rate: Hz.

    Returns:
        (samples,) booleans.

    >>> stuck(np.array([0.0, 0.1, 0.1, 0.1, 0.2]), 1500).tolist()
    [False, True, True, True, False]
    """
    if not len(signal):
        return np.zeros(0, np.bool_)
    edges = np.flatnonzero(np.concatenate(([True], np.diff(signal) != 0, [True])))
    lengths = np.diff(edges)
    return np.repeat(lengths >= max(2, STUCK_SECONDS * sample_rate), lengths)


def frames(pair: Pair, size: int) -> NDArray[np.int64]:
    """Return the sample indices of all frames that are completely usable, or of all frames if there are none.

    Args:
        pair: the recording.
        size: samples of a frame.

    Returns:
        (frames, size) indices.
    """
    places = np.arange(len(pair.dry) // size * size).reshape(-1, size)
    whole = places[pair.usable[places].all(1)]
    return whole if len(whole) else places


def lively_frames(pair: Pair, size: int) -> NDArray[np.int64]:
    """Return the usable frames in which neither recording is stuck, sorted by the level of the wet one.

    The softest frame is first. A constant offset does not count as level. If all frames are stuck somewhere, returns
    all of them.

    Args:
        pair: the recording.
        size: samples of a frame.

    Returns:
        (frames, size) sample indices.
    """
    places = frames(pair, size)
    bad = stuck(pair.wet, pair.sample_rate) | stuck(pair.dry, pair.sample_rate)
    lively = places[~bad[places].any(1)]
    places = lively if len(lively) else places
    return np.asarray(places[np.argsort(np.var(pair.wet[places], axis=1), kind="stable")])


def loudest_stretch(pair: Pair, seconds: float) -> slice:
    """Return the slice with the most energy in frames that are usable and not stuck.

    Args:
        pair: the recording.
        seconds: length of the slice.
    """
    size = max(1, pair.sample_rate // 50)
    count = len(pair.dry) // size
    energy = np.zeros(max(count, 1))
    lively = lively_frames(pair, size)
    energy[lively[:, 0] // size] = np.var(pair.wet[lively], axis=1)
    length = max(1, min(round(seconds * 50), len(energy)))
    sums = np.convolve(energy, np.ones(length), "valid")
    start = int(np.argmax(sums)) * size
    return slice(start, min(len(pair.dry), start + max(length * size, 1)))
