"""Measure all hits once: band levels, sines and knobs of collected and synthesised sounds, as arrays for training.

    python -m demos.drums.dataset [--cache FOLDER] [--synthetic 150]

Run `collect_hits` first. The arrays go to ``features.npz`` in the cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from bridge.cli.progress import Standing
from demos.drums.hit_store import DEFAULT_CACHE, load_index
from instruments.drums.training.features import Features, measured, synthetic_hits
from neural_fx.files import replacing


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
        features = measured(load_index(options.cache) + synthetic_hits(options.synthetic), progress.show)
    with replacing(options.cache / "features.npz") as part, part.open("wb") as file:
        np.savez(file, **vars(features))
    print(f"{len(features.drum)} hits")


if __name__ == "__main__":
    main()
