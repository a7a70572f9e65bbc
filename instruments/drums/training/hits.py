"""Prepare recorded drum hits for training: cut them, find duplicates and relatives among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruments.drums.bands import FLOOR_DB, RATE, band_levels, limited
from neural_fx.arrays import Array

ONSET = 10 ** (-40 / 20)  # of the peak: where a hit begins
END = 10 ** (-66 / 20)  # of the peak: where it ends
LEAD_SAMPLES = 24
LEAST_PEAK = 1e-4
LEAST_SAMPLES = RATE // 100
DUPLICATE_DB = 1.0
SIBLING_DB = 3.0


@dataclass
class Hit:
    """A recorded drum hit.

    Attributes:
        audio: (samples,) float32 at `RATE`.
        drum: name of the class, or empty if it is not known.
        source: where it comes from, such as ``sonic-pi``.
        name: of the sound within the source.
        velocity: 1..127, with which it was played.
        split: ``train``, ``held-out`` or ``test``.
    """

    audio: np.ndarray
    drum: str
    source: str
    name: str
    velocity: int = 118
    split: str = "train"


def trimmed(audio: np.ndarray) -> np.ndarray | None:
    """Return a hit from its onset to its end, at a peak of 1, or None if it is silent or too short."""
    peak = float(np.abs(audio).max(initial=0.0))
    if peak < LEAST_PEAK:
        return None
    audio = audio / peak
    loud = np.flatnonzero(np.abs(audio) > ONSET)
    audible = np.flatnonzero(np.abs(audio) > END)
    start = max(0, loud[0] - LEAD_SAMPLES)
    cut: Array = audio[start : audible[-1] + 1].astype(np.float32)
    return cut if len(cut) > LEAST_SAMPLES else None


def fingerprint(audio: np.ndarray) -> np.ndarray:
    """Return the (24 * 36,) coarse band levels of a hit in dB, for comparison."""
    levels = limited(band_levels(audio))
    return np.asarray(levels.reshape(24, 4, 36, 4).mean((1, 3)).ravel())


def distances_to(fingerprint: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the mean difference in dB to each of the others, over the cells in which either sounds."""
    sounding = (fingerprint[None] > FLOOR_DB + 3) | (others > FLOOR_DB + 3)
    difference = np.abs(others - fingerprint[None]) * sounding
    return np.asarray(difference.sum(1) / np.maximum(sounding.sum(1), 1))


def grouped(drums: list[str], prints: np.ndarray) -> list[int | None]:
    """Return the group of each hit, or None for a duplicate of an earlier one.

    Args:
        drums: classes of the hits.
        prints: (hits, values) fingerprints.

    Returns:
        The index of the first hit of the group.
    """
    groups: list[int | None] = list(range(len(drums)))
    labels = np.array(drums)
    for drum in sorted(set(drums)):
        members = np.flatnonzero(labels == drum)
        distances = np.array([distances_to(prints[i], prints[members]) for i in members])
        kept: list[int] = []
        parent = {int(i): int(i) for i in members}
        for a, i in enumerate(members):
            near = [b for b in kept if distances[a, b] < SIBLING_DB]
            if any(distances[a, b] < DUPLICATE_DB for b in near):
                groups[i] = None
                continue
            kept.append(a)
            for b in near:  # join the groups of all relatives
                old = parent[int(i)]
                new = parent[int(members[b])]
                parent = {member: new if root == old else root for member, root in parent.items()}
        for a in kept:
            groups[members[a]] = parent[int(members[a])]
    return groups
