"""Choose the channel of a recording to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

EMPTY = 1e-3
"""A channel this far below the loudest one (RMS, about 60 dB) is empty."""
SAME = 1e-3
"""Two channels that differ by less than this share of their RMS are the same."""


def choose_channel(audio: Audio, path: str | Path, say: Callable[[str], None] = lambda sentence: None) -> Audio:
    """Return one channel of a recording: the first that is not empty.

    Args:
        audio: (channels, samples).
        path: the file, for the sentence.
        say: told which channel is used if that makes a difference.
    """
    if len(audio) == 1:
        return np.asarray(audio[0])
    levels = channel_levels(audio)
    filled = np.flatnonzero(levels > EMPTY * levels.max())
    if not len(filled):
        return np.asarray(audio[0])
    chosen = int(filled[0])
    name = channel_name(chosen, len(audio))
    if len(filled) == 1:
        say(f"{path} has {len(audio)} channels and only the {name} one has a signal; that one is used")
    elif any(_differ(audio[chosen], audio[other], float(levels[chosen])) for other in filled[1:]):
        say(
            f"{path} has {len(audio)} channels that differ; the {name} one is used. Export another one if you want that"
        )
    return np.asarray(audio[chosen])


def mix_channels(audio: Audio) -> Audio:
    """Return the average of the channels that are not empty, or the loudest one if the average cancels.

    Args:
        audio: (channels, samples).
    """
    levels = channel_levels(audio)
    filled = audio[levels > EMPTY * levels.max()] if levels.max() > 0 else audio
    mixed = np.asarray(filled.mean(0), np.float32)
    if float(np.std(mixed, dtype=np.float64)) < 0.1 * float(levels.max()):
        return np.asarray(audio[int(levels.argmax())])
    return mixed


def channel_levels(audio: Audio) -> NDArray[np.float64]:
    """Return the RMS of each channel about its mean: a constant offset is no signal."""
    return np.asarray(np.std(audio, axis=1, dtype=np.float64))


def channel_name(index: int, count: int) -> str:
    """Return what to call a channel: left or right of two, otherwise by its number from 1."""
    if count == 2:
        return ("left", "right")[index]
    return f"number {index + 1}"


def _differ(first: Audio, second: Audio, level: float) -> bool:
    return float(np.std(first - second, dtype=np.float64)) > SAME * level
