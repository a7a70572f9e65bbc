"""Measure how smoothly a network morphs from preset to preset, and how fast it plays.

    OMP_NUM_THREADS=1 python demos/instruments/latent_morphs.py presets.safetensors [--pairs 40] [--json]

A morph is 20 equal steps of the timbre. The measure is the largest of the 20 distances between neighbours, as a share
of the distance between both ends. Steps that all go the same way are 0.05. Distances are mean absolute differences of
the levels of a note at C4, which count as silent 80 dB below the loudest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from instruments.contract import VOICES, Touch
from instruments.latent.files import LatentFile, read_network
from instruments.latent.frames import frame_ticks
from instruments.latent.instrument import Latent
from instruments.latent.network import LatentNetwork

STEPS = 20
RELEASE = 400
LONGEST = 600
BLOCK = 256


def levels(network: LatentNetwork, timbre: np.ndarray) -> np.ndarray:
    """Return the levels of a note at C4, (frames, LEVELS)."""
    hidden = network.notes(timbre[None], np.array([60.0]), np.array([100.0])).hidden
    ticks = frame_ticks(RELEASE, LONGEST)
    return network.frames(hidden, ticks, np.full(len(ticks), RELEASE)).levels


def largest_step(network: LatentNetwork, first: np.ndarray, last: np.ndarray) -> float:
    """Return the largest step of a morph as a share of the whole way.

    Args:
        network: that plays.
        first: a timbre.
        last: another one.
    """
    found = [levels(network, first + share * (last - first)) for share in np.linspace(0, 1, STEPS + 1)]
    floor = max(found[0].max(), found[-1].max()) - 80
    found = [np.maximum(one, floor) for one in found]
    steps = [float(np.abs(after - before).mean()) for before, after in pairwise(found)]
    return max(steps) / float(np.abs(found[-1] - found[0]).mean())


def real_time(file: LatentFile, voices: int, seconds: float = 2.0) -> float:
    """Return how many times faster than real time some voices are rendered in blocks of 256.

    Args:
        file: with at least one preset.
        voices: that sound.
        seconds: of audio.
    """
    family = Latent(next(iter(file.presets)), file).open_family()
    for voice in range(voices):
        family.start(voice, Touch(48 + 3 * voice, 0.7, held=True))
    began = time.process_time()
    for _ in range(round(seconds * family.sample_rate / BLOCK)):
        family.render(BLOCK)
    return seconds / (time.process_time() - began)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    file = read_network(options.file)
    timbres = list(file.presets.values())
    if len(timbres) < 2:
        print(f"{options.file}: expected two presets or more; make_presets.py adds them", file=sys.stderr)
        return 1
    rng = np.random.default_rng(options.seed)
    pairs = [rng.choice(len(timbres), 2, replace=False) for _ in range(options.pairs)]
    steps = [largest_step(file.network, timbres[i], timbres[j]) for i, j in pairs]
    result = {
        "largest_step_median": round(float(np.median(steps)), 3),
        "largest_step_worst": round(max(steps), 3),
        "pairs_within_12_percent": round(float(np.mean(np.array(steps) <= 0.12)), 3),
        **{f"real_time_{voices}": round(real_time(file, voices), 1) for voices in (1, 4, VOICES)},
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
