"""Find the MIDI note of a recorded sound whose pitch nobody has written down."""

from __future__ import annotations

import numpy as np

from instruments.latent.pitch import estimate
from neural_fx.arrays import Audio
from neural_fx.timbre.analysis import RATE, analyze, best_method

LONGEST_SECONDS = 2.0
CLEAR = 0.5
LEAST_FRAMES = 12
LEAST_SHARE = 0.15
MOST_SPREAD = 0.7


def measured_pitch(audio: Audio) -> float | None:
    """Return the pitch of a note as a MIDI note with a fraction, or None if it has no clear pitch.

    Args:
        audio: (samples,) at 48 kHz.
    """
    peak = float(np.abs(audio).max(initial=0.0))
    if peak == 0.0:
        return None
    start = int(np.flatnonzero(np.abs(audio) > 0.03 * peak)[0])
    body = audio[start : start + round(LONGEST_SECONDS * RATE)] / peak
    found = analyze(body, RATE, best_method())
    heard = found.loudness_db > found.loudness_db.max() - 40
    clear = heard & (found.confidence > CLEAR)
    if clear.sum() < max(LEAST_FRAMES, LEAST_SHARE * heard.sum()):
        return None
    notes = 69 + 12 * np.log2(found.f0_hz[clear] / 440)
    middle = float(np.median(notes))
    if np.median(np.abs(notes - middle)) > MOST_SPREAD:
        return None
    hz, _ = estimate(body.astype(np.float64), middle)
    return float(69 + 12 * np.log2(hz / 440))
