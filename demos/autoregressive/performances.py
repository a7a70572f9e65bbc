"""Summarise how an instrument's levels move, so that a performance from MIDI can have levels like its recordings."""

from __future__ import annotations

from typing import Any

import numpy as np

from demos.autoregressive.notes import FLOOR_DB, Note
from neural_fx.networks.autoregressive.signal import Signal

CURVE_FRAMES = 100
SUSTAIN = (0.3, 0.7)
"""Seconds after the onset between which the level of a note is measured."""


def performance(notes: list[Note], loudest_db: float, signal: Signal) -> dict[str, Any]:
    """Return how the notes of an instrument are played.

    Args:
        notes: of the instrument, the held-out ones are left out.
        loudest_db: level that 0 dB stands for.
        signal: rate and hop.

    Returns:
        ``loudest_db``; ``lowest`` and ``highest`` MIDI notes; ``sustain_db``, the level as c0 + c1 * velocity / 127 +
        c2 * (pitch - 60) / 12; ``attack_db``, the level of frames from the onset, against the sustained level;
        ``release_db``, the level of frames from the release, against the level there.
    """
    trained = [note for note in notes if not note.held_out]
    rows, levels, attacks, releases = [], [], [], []
    for note in trained:
        onset = round(note.onset / signal.hop)
        release = round(note.release / signal.hop)
        first, last = (onset + round(s * signal.rate / signal.hop) for s in SUSTAIN)
        if onset >= 0 and last < len(note.levels_db):
            sustained = float(np.median(note.levels_db[first : min(last, release)]))
            rows.append([1, note.velocity / 127, (note.pitch - 60) / 12])
            levels.append(sustained)
            attacks.append(note.levels_db[onset : onset + CURVE_FRAMES] - sustained)
        if 0 <= release < len(note.levels_db) - CURVE_FRAMES:
            releases.append(note.levels_db[release : release + CURVE_FRAMES] - note.levels_db[release])
    sustain = np.linalg.lstsq(np.array(rows), np.array(levels), rcond=None)[0]
    return {
        "loudest_db": loudest_db,
        "lowest": min(n.pitch for n in trained),
        "highest": max(n.pitch for n in trained),
        "sustain_db": [round(float(v), 3) for v in sustain],
        "attack_db": _curve(attacks),
        "release_db": _curve(releases),
        "floor_db": FLOOR_DB,
    }


def _curve(curves: list[np.ndarray]) -> list[float]:
    if not curves:
        return []
    return [round(float(v), 2) for v in np.median(np.stack(curves), axis=0)]
