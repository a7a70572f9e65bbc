"""Write pictures and audio of the drums: held-out hits beside the network's versions, and random hits.

    python -m demos.drums.listen [--cache FOLDER] -o FOLDER

Needs the `train` extra for matplotlib. Run `collect_hits` and `dataset` first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mido
import numpy as np
import soundfile
from matplotlib import pyplot

from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from instruments import Drums
from instruments.drums.bands import FLOOR_DB, RATE
from instruments.drums.classes import CLASSES
from instruments.drums.instrument import DATA, SOUNDS
from instruments.drums.network import DrumNetwork
from instruments.drums.sines import Sines
from instruments.drums.training.features import Features

PATTERN = {
    36: "x.....x.x.......",
    38: "....x.......x...",
    42: "x.x.x.x.x.x.x.x.",
    46: "...............x",
    39: "............x...",
}
STEP_SECONDS = 0.125


def strips(network: DrumNetwork, features: Features, path: Path) -> None:
    """Draw the bands of held-out hits, of the network's versions, and of two random hits of each class."""
    held = features.where((features.split != "train") & (features.source != "synthetic") & (features.drum >= 0))
    figure, axes = pyplot.subplots(4, len(CLASSES), figsize=(16, 5.2))
    random = np.random.default_rng(1)
    for column, drum in enumerate(CLASSES):
        rows = []
        found = np.flatnonzero(held.drum == column)
        if len(found):
            levels = held.levels[found[0]].astype(np.float32)
            z, knobs = network.encode(drum, levels, Sines.from_vector(held.sines[found[0]]))
            rows = [levels, network.decode(drum, z, knobs, exact=False).levels]
        else:
            rows = [np.full_like(features.levels[0], FLOOR_DB)] * 2
        rows += [network.decode(drum, *network.sample(drum, random)).levels for _ in range(2)]
        for row, levels in enumerate(rows):
            axes[row, column].imshow(levels, origin="lower", aspect="auto", vmin=FLOOR_DB, vmax=0, cmap="magma")
            axes[row, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(drum.replace("_", " "), fontsize=8)
    for row, label in enumerate(("held out", "network", "random", "random")):
        axes[row, 0].set_ylabel(label, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=70)


def pattern(kit: str, seed: int) -> np.ndarray:
    """Return two bars of a beat, played by a kit."""
    messages = []
    for key, steps in PATTERN.items():
        for step in range(2 * len(steps)):
            if steps[step % len(steps)] == "x":
                velocity = 112 if step % 4 == 0 else 84
                messages.append(mido.Message("note_on", note=key, velocity=velocity, time=step * STEP_SECONDS))
    return Drums(kit, seed=seed)(messages, 4.5, RATE, num_channels=1)[0]


def main() -> None:
    """Write the picture and the audio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    strips(DrumNetwork.read(DATA / "drums.safetensors"), load_features(options.cache), options.out / "strips.png")
    beats = [pattern(kit, seed) for kit in SOUNDS for seed in (0, 1)]
    soundfile.write(options.out / "beats.ogg", np.concatenate(beats), RATE)


if __name__ == "__main__":
    main()
