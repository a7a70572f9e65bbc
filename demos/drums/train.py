"""Train the network of drum hits, and write it for `instruments.drums`.

    python -m demos.drums.train [--cache FOLDER] [--minutes 20] -o drums.safetensors

Run `collect_hits` and `dataset` first. A checkpoint is written regularly. The same command continues from it. On a
machine without the cache, ``--packed`` reads the file that `pack` made, and ``--bank`` the folder that `bank` fills.
`gpu_drums.sh` does all of it on a GPU.
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

from bridge.cli.progress import Standing
from demos.drums.bank import new_parts
from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from demos.drums.kits import kit_presets
from demos.drums.losses import quick_distances
from demos.drums.pack import joined, read_packed
from demos.drums.trainer import BATCH, REAL_WEIGHT, Trainer
from instruments.drums.training.features import Features
from instruments.drums.training.model import DrumAutoencoder, Size
from instruments.drums.training.prior import fit_priors
from neural_fx.files import replacing

BANK_PATIENCE = 60.0  # seconds to wait for the plain hits of a bank


@torch.no_grad()
def exported(trainer: Trainer) -> dict[str, np.ndarray]:
    """Return the arrays that `instruments.drums.network.DrumNetwork` reads."""
    model: DrumAutoencoder = trainer.average.module.eval()
    arrays = {name: getattr(model, name).cpu().numpy() for name in ("mean", "bands", "frames", "knob_low", "knob_high")}
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        for index, layer in enumerate(layer for layer in part if isinstance(layer, torch.nn.Linear)):
            arrays[f"{name}{index}.weight"] = layer.weight.cpu().numpy()
            arrays[f"{name}{index}.bias"] = layer.bias.cpu().numpy()
    numbers, spread = latent_numbers(model, trainer.hits)
    weights = np.where(trainer.hits.source == "synthetic", 1.0, REAL_WEIGHT)
    arrays.update(fit_priors(numbers, spread, trainer.hits.drum, weights))
    arrays.update({f"kit.{name}": rows for name, rows in kit_presets(numbers, trainer.hits).items()})
    return {name: np.ascontiguousarray(value, np.float16) for name, value in arrays.items()}


@torch.no_grad()
def latent_numbers(model: DrumAutoencoder, hits: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return z and knobs of hits: means (hits, latent + 7) and variances of z (hits, latent)."""
    device = model.mean.device
    levels = torch.tensor(hits.levels, device=device).float()
    drum = torch.tensor(hits.drum, device=device)
    knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
    mean, log_variance = model.encode(levels, torch.tensor(hits.sines, device=device), drum, knobs)
    return torch.cat((mean, knobs), 1).cpu().numpy(), log_variance.exp().cpu().numpy()


def read_all(options: argparse.Namespace) -> Features:
    """Read the hits that the options choose."""
    if options.packed is None:
        return load_features(options.cache)
    recorded = read_packed(options.packed)
    seen: set[str] = set()
    plain: list[Features] = []
    until = time.monotonic() + BANK_PATIENCE
    while len(seen) < options.plain_parts and time.monotonic() < until:
        plain += new_parts(options.bank, "plain", seen)
        time.sleep(0.5)
    return joined([recorded, *plain])


def main() -> None:
    """Train until the time is over, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--packed", type=Path, help="recorded hits, instead of the cache")
    parser.add_argument("--bank", type=Path, help="folder of synthesised hits")
    parser.add_argument("--plain-parts", type=int, default=40, help="files of plain hits to wait for")
    parser.add_argument("--minutes", type=float, default=20, help="of the whole training, earlier runs included")
    parser.add_argument("--until", type=float, help="Unix time at which training ends, whatever --minutes says")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=BATCH)
    for name, value in Size()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--save-seconds", type=float, default=60)
    parser.add_argument("--checkpoint", type=Path, help="default: training.pt in the cache")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    began_all = time.time()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    checkpoint = options.checkpoint or options.cache / "training.pt"
    features = read_all(options)
    size = Size(**{name: getattr(options, name) for name in Size._fields})
    trainer = Trainer(features, device=options.device, size=size, batch=options.batch)
    if checkpoint.exists():
        trainer.load(torch.load(checkpoint, weights_only=True, map_location=options.device))
    print(f"ready after {time.time() - began_all:.1f} s: {len(trainer.hits.drum)} hits, {size}", flush=True)
    smooth = train(trainer, features, options, checkpoint)
    save(trainer, checkpoint, options.out)
    report = {
        "steps": trainer.steps,
        "minutes": round(trainer.seconds / 60, 2),
        "varied": len(trainer.varied),
        "size": size._asdict(),
        "losses": {name: round(value, 4) for name, value in smooth.items()},
        "distance_db": quick_distances(trainer.average.module, features),
    }
    with replacing(options.out.with_suffix(".json")) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report), flush=True)


def train(trainer: Trainer, features: Features, options: argparse.Namespace, checkpoint: Path) -> dict[str, float]:
    """Train until the time is over, and return the smoothed losses."""
    smooth: dict[str, float] = {}
    seen: set[str] = set()
    most = 60 * options.minutes
    if options.until:
        most = min(most, trainer.seconds + options.until - time.time())
    start, began = trainer.seconds, time.monotonic()
    saved = looked = -math.inf
    with Standing(Console(stderr=True), "training", 20) as progress:
        while trainer.seconds < most:
            losses = trainer.step(trainer.seconds / most)
            trainer.seconds = start + time.monotonic() - began
            if trainer.steps % 25 == 0:
                for name, loss in losses.items():
                    smooth[name] = 0.9 * smooth.get(name, float(loss)) + 0.1 * float(loss)
                text = ", ".join(f"{name} {value:.3f}" for name, value in smooth.items())
                progress.show(trainer.seconds / most, f"step {trainer.steps}: {text}")
            if options.bank and time.monotonic() - looked > 4:
                looked = time.monotonic()
                for part in new_parts(options.bank, "varied", seen):
                    trainer.add(part)
            if time.monotonic() - saved > options.save_seconds:
                saved = time.monotonic()
                save(trainer, checkpoint, options.out)
                found = quick_distances(trainer.average.module, features)
                count = len(trainer.varied)
                print(f"{trainer.seconds:.0f} s, step {trainer.steps}, {count} varied: {found}", flush=True)
    return smooth


def save(trainer: Trainer, checkpoint: Path, out: Path) -> None:
    """Write the checkpoint, and the network as it is now."""
    with replacing(checkpoint) as part:
        torch.save(trainer.state(), part)
    with replacing(out) as part:
        save_file(exported(trainer), part)


if __name__ == "__main__":
    main()
