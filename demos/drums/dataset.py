"""Measure all hits once: band levels, sines and knobs of collected and synthesised sounds, as arrays for training.

    python -m demos.drums.dataset [--cache FOLDER] [--synthetic 150]

Run `collect_hits` first. The arrays go to ``features.npz`` in the cache.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from bridge.cli.progress import Standing
from demos.drums.hit_store import DEFAULT_CACHE, Hit, load_index
from instruments.drums.bands import band_levels, limited
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import measured_knobs
from instruments.drums.sines import find_sines
from instruments.drums.synthesis import synthesize
from neural_fx.files import replacing


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
            hits.append(Hit(synthesize(drum, seed), drum, "synthetic", f"{drum} seed {seed}", split=split))
    return hits


def measured(hits: list[Hit], progress: Standing) -> Features:
    """Measure hits."""
    rows = []
    for index, hit in enumerate(hits):
        progress.show(index / len(hits), f"{hit.source}: {hit.name}")
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


def load_features(cache: Path) -> Features:
    """Read what `main` wrote."""
    with np.load(cache / "features.npz") as stored:
        return Features(**{name: stored[name] for name in stored.files})


def main() -> None:
    """Measure all hits and store the arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--synthetic", type=int, default=150, help="hits of our own synthesiser, per class")
    options = parser.parse_args()
    with Standing(Console(stderr=True), "measuring") as progress:
        features = measured(load_index(options.cache) + synthetic_hits(options.synthetic), progress)
    with replacing(options.cache / "features.npz") as part, part.open("wb") as file:
        np.savez(file, **vars(features))
    print(f"{len(features.drum)} hits")


if __name__ == "__main__":
    main()
