"""Train the network of drum hits, and write it for `instruments.drums`.

    python -m demos.drums.train [--cache FOLDER] [--minutes 20] -o drums.safetensors

Run `collect_hits` and `dataset` first. A checkpoint is written every minute. The same command continues from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from bridge.cli.progress import Standing
from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from demos.drums.kits import kit_presets
from instruments.drums.training.trainer import DrumTrainer, Progress, Settings
from instruments.drums.training.weights import Arrays, exported, latent_numbers, write_network
from neural_fx.training.keeping import Keeper


def trained_arrays(trainer: DrumTrainer) -> Arrays:
    """Return the arrays of the best network so far, with the kits that come with the package."""
    model = trainer.best_model()
    numbers, spread = latent_numbers(model, trainer.hits)
    return exported(model, numbers, spread, trainer.hits, kit_presets(numbers, trainer.hits))


def main() -> None:
    """Train until the time is over, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--minutes", type=float, default=20, help="of the whole training, earlier runs included")
    parser.add_argument("--checkpoint", type=Path, help="default: training.ckpt in the cache")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    checkpoint = options.checkpoint or options.cache / "training.ckpt"
    trainer = DrumTrainer(load_features(options.cache), Settings(options.minutes))
    if checkpoint.exists():
        trainer.load(checkpoint)
    keeper = Keeper(trainer.save, checkpoint, lambda sentence: print(sentence, file=sys.stderr))

    def after_step(progress: Progress) -> None:
        keeper()
        text = ", ".join(f"{name} {value:.3f}" for name, value in trainer.losses.items())
        standing.show(progress.fraction, f"step {progress.step}: {text}")

    with Standing(Console(stderr=True), "training", 20) as standing:
        trainer.run(tick=after_step)
    keeper.keep()
    write_network(options.out, trained_arrays(trainer))
    print(json.dumps({"steps": trainer.step, "minutes": trainer.course.minutes, "distance_db": trainer.best_error}))


if __name__ == "__main__":
    main()
