"""Pack the recorded hits into a small file for training on another machine, and read it there.

    python -m demos.drums.pack [--cache FOLDER] [-o build/drums/hits.npz]

Levels have one byte each, in steps of 0.26 dB. Synthesised hits are not packed: `bank` makes them again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from instruments.drums.bands import FLOOR_DB, limited
from instruments.drums.knobs import measured_knobs
from instruments.drums.training.features import Features
from neural_fx.files import replacing

_STEPS = 255


def pack_levels(levels: np.ndarray) -> np.ndarray:
    """Return levels in dB as bytes."""
    return np.asarray(np.round((limited_all(levels) - FLOOR_DB) / -FLOOR_DB * _STEPS), np.uint8)


def unpack_levels(packed: np.ndarray) -> np.ndarray:
    """Return the levels in dB that `pack_levels` packed, in half precision."""
    return np.asarray(FLOOR_DB - FLOOR_DB * (packed.astype(np.float32) / _STEPS), np.float16)


def limited_all(levels: np.ndarray) -> np.ndarray:
    """Return (hits, 96, 144) levels, each relative to its loudest cell and not below silence."""
    return np.stack([limited(item.astype(np.float32)) for item in levels])


def write_packed(path: Path, features: Features) -> None:
    """Write features to a compressed file."""
    about = {name: getattr(features, name) for name in ("drum", "source", "split", "name")}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, levels=pack_levels(features.levels), sines=features.sines.astype(np.float16), **about)


def read_packed(path: Path) -> Features:
    """Read features that `write_packed` wrote. The knobs are measured again."""
    with np.load(path) as stored:
        levels = unpack_levels(stored["levels"])
        about = {name: stored[name] for name in ("drum", "source", "split", "name")}
        sines = stored["sines"].astype(np.float32)
    return Features(levels=levels, sines=sines, knobs=measured_knobs(levels.astype(np.float32)), **about)


def joined(parts: list[Features]) -> Features:
    """Return the hits of several sets."""
    return Features(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def main() -> None:
    """Pack the recorded hits of the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("-o", "--out", type=Path, default=Path("build/drums/hits.npz"))
    options = parser.parse_args()
    features = load_features(options.cache)
    recorded = features.where(features.source != "synthetic")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_packed(options.out, recorded)
    print(f"{options.out}: {len(recorded.drum)} hits, {options.out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
