"""Train the network of drum hits, and write it for `instruments.drums`.

    python -m demos.drums.train [--cache FOLDER] [--minutes 20] -o drums.safetensors

Run `collect_hits` and `dataset` first. A checkpoint is written every minute. The same command continues from it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from safetensors.numpy import save_file
from torch import Tensor

from bridge.cli.progress import Standing
from demos.drums.augment import HEARD_TONALITY, Augmenter, limited
from demos.drums.dataset import Features, load_features
from demos.drums.hit_store import DEFAULT_CACHE
from demos.drums.model import DrumAutoencoder, shapes
from demos.drums.prior import fit_priors, kit_presets
from instruments.drums.bands import FLOOR_DB
from instruments.drums.classes import CLASSES
from instruments.drums.network import LEVEL_SCALE
from instruments.drums.sines import SLOTS
from neural_fx.files import replacing

BATCH = 48
LEARNING_RATE = 2e-3
KL_WEIGHT = 1e-3
KNOB_WEIGHT = 0.6
SINE_WEIGHT = 0.5
REAL_SHARE = 0.5  # of each batch
REAL_WEIGHT = 3.0  # of a recorded hit beside a synthesised one, in statistics
AVERAGING = 0.999
LEAST_KNOB_RANGE = (6.0, 0.6, 4.0, 6.0, 0.5, 0.8, 0.5)  # in the knobs' own units, for classes with alike sounds


def knob_scales(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return the (14, 7) knobs at 0 and at 1: the 5th and 95th percentile of each class."""
    low, high = np.zeros((2, len(CLASSES), features.knobs.shape[1]), np.float32)
    for index in range(len(CLASSES)):
        knobs = features.knobs[features.drum == index]
        real = features.source[features.drum == index] != "synthetic"
        repeated = np.repeat(knobs, np.where(real, round(REAL_WEIGHT), 1), 0)
        low[index], high[index] = np.percentile(repeated, (5, 95), 0)
    missing = np.maximum(0, np.array(LEAST_KNOB_RANGE) - (high - low)) / 2
    return low - missing, high + missing


class Trainer:
    """Trains an autoencoder on the hits of the training split.

    Args:
        features: of all hits.
        seed: of weights, batches and variations.
    """

    def __init__(self, features: Features, seed: int = 7) -> None:
        torch.manual_seed(seed)
        self.hits = features.where(features.split == "train")
        real = self.hits.source != "synthetic"
        weights = np.where(real, REAL_WEIGHT, 1.0)
        self.model = DrumAutoencoder(*shapes(self.hits.levels.astype(np.float32), weights), *knob_scales(self.hits))
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), LEARNING_RATE, weight_decay=1e-3)
        self.augment = Augmenter(seed)
        self.levels = torch.tensor(self.hits.levels)
        self.sines = torch.tensor(self.hits.sines)
        self.drums = torch.tensor(self.hits.drum)
        self.real = torch.tensor(np.flatnonzero(real))
        self.synthetic = torch.tensor(np.flatnonzero(~real))
        # Rare classes come up more often, by the square root of their number.
        counts = torch.bincount(self.drums[self.real], minlength=len(CLASSES)).clamp(min=1)
        self.real_odds = counts[self.drums[self.real]].double() ** -0.5
        self.steps = 0
        self.seconds = 0.0

    def step(self, fraction: float) -> dict[str, float]:
        """Train one batch.

        Args:
            fraction: of the whole training, for the learning rate.
        """
        rate = LEARNING_RATE * min(1.0, self.steps / 200) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate, 1e-5)
        levels, sines, drum = self._batch()
        knobs = self.model.knobs(levels, drum).clamp(-0.6, 1.6)
        mean, log_variance = self.model.encode(levels, sines, drum, knobs)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded, decoded_sines = self.model.decode(z, drum, knobs)
        losses = {
            "levels": level_loss(decoded, levels),
            "sines": SINE_WEIGHT * sine_loss(decoded_sines, sines),
            "kl": KL_WEIGHT * 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean(),
            "knobs": KNOB_WEIGHT * self._knob_miss(mean.detach()[::2], drum[::2], knobs[::2]),
        }
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.steps += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        count = round(BATCH * REAL_SHARE)
        chosen = torch.cat(
            (
                self.real[torch.multinomial(self.real_odds, count, replacement=True)],
                self.synthetic[torch.randint(len(self.synthetic), (BATCH - count,))],
            )
        )
        levels, sines = self.augment(self.levels[chosen].float(), self.sines[chosen])
        return levels, sines, self.drums[chosen]

    def _knob_miss(self, z: Tensor, drum: Tensor, knobs: Tensor) -> Tensor:
        """Return how far knobs are missed that were asked of any z: mixed, or with noise, and of any value."""
        order = torch.randperm(len(z))
        share = torch.rand(len(z), 1)
        z = share * z + (1 - share) * z[order] + 0.3 * torch.randn_like(z)
        asked = knobs.clone()
        moved = torch.rand_like(asked) < 0.35
        asked = torch.where(moved, 1.3 * torch.rand_like(asked) - 0.15, asked)
        levels, _ = self.model.decode(z, drum, asked)
        miss = self.model.knobs(limited(levels), drum) - asked
        return torch.nn.functional.smooth_l1_loss(miss, torch.zeros_like(miss), beta=0.3)

    def state(self) -> dict[str, object]:
        """Return everything that a checkpoint needs."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, object]) -> None:
        """Continue from a checkpoint."""
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.steps = int(str(state["steps"]))
        self.seconds = float(str(state["seconds"]))


def level_loss(decoded: Tensor, levels: Tensor) -> Tensor:
    """Return the squared error in units of 10 dB. Where the hit is silent, only what is heard counts."""
    error = (decoded - levels) / LEVEL_SCALE
    silent = levels <= FLOOR_DB
    return torch.where(silent, 0.5 * error.clamp(min=0), error).square().mean()


def sine_loss(decoded: Tensor, sines: Tensor) -> Tensor:
    """Return the error of the sines. Frequencies and glides count as far as a sine is heard."""
    place, glide, seconds, tonality = decoded.unflatten(1, (4, SLOTS)).unbind(1)
    wanted_place, wanted_glide, wanted_seconds, wanted_tonality = sines.unflatten(1, (4, SLOTS)).unbind(1)
    heard = wanted_tonality * (wanted_tonality > HEARD_TONALITY)
    miss = 4 * (place - wanted_place) ** 2 + (glide - wanted_glide) ** 2 + 0.1 * (seconds - wanted_seconds) ** 2
    return (heard * miss).mean() + 0.5 * ((tonality - wanted_tonality) ** 2).mean()


@torch.no_grad()
def exported(trainer: Trainer) -> dict[str, np.ndarray]:
    """Return the arrays that `instruments.drums.network.DrumNetwork` reads."""
    model: DrumAutoencoder = trainer.average.module.eval()
    arrays = {name: getattr(model, name).numpy() for name in ("mean", "bands", "frames", "knob_low", "knob_high")}
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        for index, layer in enumerate(layer for layer in part if isinstance(layer, torch.nn.Linear)):
            arrays[f"{name}{index}.weight"] = layer.weight.numpy()
            arrays[f"{name}{index}.bias"] = layer.bias.numpy()
    numbers, spread = latent_numbers(model, trainer.hits)
    weights = np.where(trainer.hits.source == "synthetic", 1.0, REAL_WEIGHT)
    arrays.update(fit_priors(numbers, spread, trainer.hits.drum, weights))
    arrays.update(kit_presets(numbers, trainer.hits))
    return {name: np.ascontiguousarray(value, np.float16) for name, value in arrays.items()}


@torch.no_grad()
def latent_numbers(model: DrumAutoencoder, hits: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return z and knobs of hits: means (hits, 23) and variances of z (hits, 16)."""
    levels = torch.tensor(hits.levels.astype(np.float32))
    drum = torch.tensor(hits.drum)
    knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
    mean, log_variance = model.encode(levels, torch.tensor(hits.sines), drum, knobs)
    return torch.cat((mean, knobs), 1).numpy(), log_variance.exp().numpy()


def main() -> None:
    """Train until the time is over, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--minutes", type=float, default=20, help="of the whole training, earlier runs included")
    parser.add_argument("--checkpoint", type=Path, help="default: training.pt in the cache")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = options.checkpoint or options.cache / "training.pt"
    trainer = Trainer(load_features(options.cache))
    if checkpoint.exists():
        trainer.load(torch.load(checkpoint, weights_only=True))
    saved = time.monotonic()
    smooth: dict[str, float] = {}
    with Standing(Console(stderr=True), "training", 20) as progress:
        while trainer.seconds < 60 * options.minutes:
            began = time.monotonic()
            fraction = trainer.seconds / (60 * options.minutes)
            for name, loss in trainer.step(fraction).items():
                smooth[name] = 0.99 * smooth.get(name, loss) + 0.01 * loss
            trainer.seconds += time.monotonic() - began
            text = ", ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            progress.show(fraction, f"step {trainer.steps}: {text}")
            if time.monotonic() - saved > 60:
                saved = time.monotonic()
                save(trainer, checkpoint, options.out)
    save(trainer, checkpoint, options.out)
    print(json.dumps({"steps": trainer.steps, "minutes": trainer.seconds / 60, "losses": smooth}))


def save(trainer: Trainer, checkpoint: Path, out: Path) -> None:
    """Write the checkpoint, and the network as it is now."""
    with replacing(checkpoint) as part:
        torch.save(trainer.state(), part)
    with replacing(out) as part:
        save_file(exported(trainer), part)


if __name__ == "__main__":
    main()
