"""Decode notes that are held for longer than the notes that the network has heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instruments.latent.network import DecodedFrames, Floats, LatentNetwork
from neural_fx.arrays import Doubles

TRAINED_TICKS = 560.0
SLOPE_TICKS = 200.0


def frames_at(network: LatentNetwork, hidden: Floats, ticks: Doubles, releases: Doubles) -> DecodedFrames:
    """Return single frames of notes of any length.

    A note that is held for over 1.4 seconds stays as it was then, or goes on decaying at the rate of the half second
    before. Its release is that of a note of 1.4 seconds.

    Args:
        network: with the decoder.
        hidden: of the note of each frame, (frames, note units).
        ticks: since the onset, (frames,).
        releases: tick of the release of each frame's note, (frames,). Infinite while it is held.
    """
    beyond = np.maximum(np.minimum(ticks, releases) - TRAINED_TICKS, 0)
    decoded = network.frames(hidden, ticks - beyond, releases - beyond)
    late = beyond > 0
    if not late.any():
        return decoded
    count = int(late.sum())
    held = np.full(count, np.inf)
    end = network.frames(hidden[late], np.full(count, TRAINED_TICKS), held).levels
    start = network.frames(hidden[late], np.full(count, TRAINED_TICKS - SLOPE_TICKS), held).levels
    levels = decoded.levels.copy()
    levels[late] += np.minimum(end - start, 0) / SLOPE_TICKS * beyond[late, None]
    return replace(decoded, levels=levels)
