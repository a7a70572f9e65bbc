"""Measure hits for training: band levels, sines and knobs as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from instruments.drums.bands import band_levels, limited
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import measured_knobs
from instruments.drums.sines import find_sines
from instruments.drums.synthesis import synthesize
from instruments.drums.training.hits import Hit

SYNTHETIC = "synthetic"
"""Source of the hits of our own synthesiser."""


@dataclass
class Features:
    """Measured hits.

    Attributes:
        levels: (hits, 96, 144) in dB, as `bands.limited` returns.
        sines: (hits, 32) as `Sines.vector`.
        knobs: (hits, 7) in their own units.
        drum: (hits,) index of the class, -1 if it is not known.
        source: (hits,) names.
        split: (hits,) ``train``, ``held-out`` or ``test``.
        name: (hits,) names within the source.
    """

    levels: np.ndarray
    sines: np.ndarray
    knobs: np.ndarray
    drum: np.ndarray
    source: np.ndarray
    split: np.ndarray
    name: np.ndarray

    def where(self, chosen: np.ndarray) -> Features:
        """Return the hits that a mask or an array of indices chooses."""
        return Features(**{field: values[chosen] for field, values in vars(self).items()})


def synthetic_hits(per_class: int) -> list[Hit]:
    """Return hits of our own synthesiser, marked as such. Every tenth is held out."""
    hits = []
    for drum in CLASSES:
        for seed in range(per_class):
            split = "held-out" if seed % 10 == 9 else "train"
            hits.append(Hit(synthesize(drum, seed), drum, SYNTHETIC, f"{drum} seed {seed}", split=split))
    return hits


def measured(hits: Sequence[Hit], show: Callable[[float, str], None] = lambda fraction, text: None) -> Features:
    """Measure hits.

    Args:
        hits: at least one.
        show: called before every hit with the share that is done and with the hit's name.
    """
    rows = []
    for index, hit in enumerate(hits):
        show(index / len(hits), f"{hit.source}: {hit.name}")
        levels = limited(band_levels(hit.audio))
        rows.append((levels.astype(np.float16), find_sines(hit.audio).vector(), measured_knobs(levels)))
    levels, sines, knobs = (np.stack(column) for column in zip(*rows))
    return Features(
        levels=levels,
        sines=sines.astype(np.float32),
        knobs=knobs,
        drum=np.array([CLASSES.index(hit.drum) if hit.drum else -1 for hit in hits]),
        source=np.array([hit.source for hit in hits]),
        split=np.array([hit.split for hit in hits]),
        name=np.array([hit.name for hit in hits]),
    )


def joined(parts: Sequence[Features]) -> Features:
    """Return the hits of several sets as one."""
    return Features(**{field: np.concatenate([vars(part)[field] for part in parts]) for field in vars(parts[0])})
