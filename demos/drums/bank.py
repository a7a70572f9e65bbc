"""Make many synthesised hits in several processes, while a training on the same machine reads them.

    python -m demos.drums.bank FOLDER [--plain 200] [--varied 1500] [--jobs 6] [--seconds 200]

The plain hits of `instruments.drums.synthesis` come first, then the varied ones of `variety`. Each file has one part of
them and is written whole. Its name begins with ``plain`` or ``varied``.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import time
from pathlib import Path

import numpy as np

from demos.drums.pack import read_packed, write_packed
from demos.drums.variety import varied
from instruments.drums.bands import band_levels, limited
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import measured_knobs
from instruments.drums.sines import find_sines
from instruments.drums.synthesis import synthesize
from instruments.drums.training.features import Features

PART = 5  # seeds of all classes in one file


def make_part(folder: Path, until: float, part: tuple[str, int]) -> None:
    """Make and write the hits of some seeds, of all classes, unless the time is over.

    Args:
        folder: where to write.
        until: `time.time` at which no more parts begin.
        part: ``plain`` or ``varied``, and the first seed.
    """
    kind, first = part
    path = folder / f"{kind}-{first:05d}.npz"
    if path.exists() or time.time() > until:
        return
    rows = []
    for seed in range(first, first + PART):
        for number, drum in enumerate(CLASSES):
            audio = synthesize(drum, seed) if kind == "plain" else varied(drum, seed)
            levels = limited(band_levels(audio))
            split = "held-out" if kind == "plain" and seed % 10 == 9 else "train"
            source = "synthetic" if kind == "plain" else "varied"
            rows.append(
                (levels.astype(np.float16), find_sines(audio).vector(), number, source, split, f"{drum} {seed}")
            )
    levels, sines, numbers, sources, splits, names = (np.array(column) for column in zip(*rows))
    features = Features(
        levels=levels,
        sines=sines.astype(np.float32),
        knobs=measured_knobs(levels.astype(np.float32)),
        drum=numbers,
        source=sources,
        split=splits,
        name=names,
    )
    write_packed(path, features)


def new_parts(folder: Path, kind: str, seen: set[str]) -> list[Features]:
    """Read the files of a kind that are not in `seen`, and add their names to it."""
    found = []
    for path in sorted(folder.glob(f"{kind}-*.npz")):
        if path.name not in seen:
            seen.add(path.name)
            found.append(read_packed(path))
    return found


def main() -> None:
    """Make hits until there are enough or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", type=int, default=200, help="hits of each class")
    parser.add_argument("--varied", type=int, default=1500, help="hits of each class")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=200)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    parts = [("plain", first) for first in range(0, options.plain, PART)]
    parts += [("varied", first) for first in range(0, options.varied, PART)]
    until = time.time() + options.seconds
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for _ in pool.imap(functools.partial(make_part, options.folder, until), parts):
            pass


if __name__ == "__main__":
    main()
