"""Choose the channel of a recording to learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio

EMPTY = 1e-3
"""RMS of an empty channel, as a share of the loudest channel's RMS (-60 dB)."""
SAME = 1e-3
"""Largest difference of two equal channels, as a share of their RMS."""


def choose_channel(audio: Audio, path: str | Path, say: Callable[[str], None] = lambda sentence: None) -> Audio:
    """Return the first channel of a recording that is not empty.

    Args:
        audio: the recording, (channels, samples).
        path: its file, for the message.
        say: called with a sentence if the choice of the channel makes a difference.

    Returns:
        (samples,).
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
        say(f"{path} has {len(audio)} channels and only the {name} one has a signal; using that one")
    elif any(_differ(audio[chosen], audio[other], float(levels[chosen])) for other in filled[1:]):
        say(
            f"{path} has {len(audio)} channels that differ; using the {name} one. To use another one, export it to a "
            "file of its own"
        )
    return np.asarray(audio[chosen])


def mix_channels(audio: Audio) -> Audio:
    """Return the average of the channels that are not empty, or the loudest channel if they cancel.

    Args:
        audio: the recording, (channels, samples).

    Returns:
        (samples,).
    """
    levels = channel_levels(audio)
    filled = audio[levels > EMPTY * levels.max()] if levels.max() > 0 else audio
    mixed = np.asarray(filled.mean(0), np.float32)
    if float(np.std(mixed, dtype=np.float64)) < 0.1 * float(levels.max()):
        return np.asarray(audio[int(levels.argmax())])
    return mixed


def channel_levels(audio: Audio) -> NDArray[np.float64]:
    """Return the RMS of each channel about its mean, so that a constant offset does not count as signal."""
    return np.asarray(np.std(audio, axis=1, dtype=np.float64))


def channel_name(index: int, count: int) -> str:
    """Return the name of a channel: left or right if there are two, otherwise its number from 1."""
    if count == 2:
        return ("left", "right")[index]
    return f"number {index + 1}"


def _differ(first: Audio, second: Audio, level: float) -> bool:
    return float(np.std(first - second, dtype=np.float64)) > SAME * level
