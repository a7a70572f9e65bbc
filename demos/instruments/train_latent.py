"""Train the network of `instruments.latent` on the frames that `extract_frames.py` wrote.

    nice -n 19 python demos/instruments/train_latent.py -o latent.safetensors [--minutes 20] [--threads 1] [--json]

Encodes one to three notes of a program and decodes another one of it. Held-out programs and pitches are never seen.
Writes a checkpoint every minute next to the output, and goes on from it. Reads programs that were extracted meanwhile.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.nn import functional as F

from demos.instruments import frame_cache
from demos.instruments.latent_batches import Batch, Data, Wanted
from demos.instruments.latent_model import LatentModel
from instruments.latent.files import save_network
from instruments.latent.frames import HARMONICS, LEVELS, SLOTS
from instruments.latent.network import LatentNetwork, Sizes
from neural_fx.files import replacing

CHECKPOINT_SECONDS = 60.0
GROUP_WEIGHTS = {"harmonics": 1.0, "slots": 0.7, "noise": 0.7}
FIRST_RATE = 2e-3
LAST_RATE = 5e-5


def losses(frames: torch.Tensor, outputs: torch.Tensor, wanted: Wanted) -> dict[str, torch.Tensor]:
    """Return what the decoder's answers cost, by kind.

    Args:
        frames: (notes, frames, FRAME_OUTPUTS).
        outputs: (notes, NOTE_OUTPUTS).
        wanted: the answers.
    """
    # Below the floor, all levels are equally silent.
    found = torch.maximum(frames[..., :LEVELS], wanted.floors[:, None, None])
    error = F.smooth_l1_loss(found, wanted.levels, reduction="none", beta=0.1)
    harmonics, slots, noise = error.split((HARMONICS, SLOTS, LEVELS - HARMONICS - SLOTS), dim=-1)
    audible = wanted.audible[:, None].expand_as(harmonics)
    cents = (frames[..., LEVELS] - wanted.cents).abs() * wanted.alive
    return {
        "harmonics": (harmonics * audible).sum() / audible.sum(),
        "slots": slots.mean(),
        "noise": noise.mean(),
        "cents": 0.1 * cents.mean(),
        "alive": 0.1 * F.binary_cross_entropy_with_logits(frames[..., LEVELS + 1], wanted.alive),
        "slot_cents": 0.1
        * ((outputs[:, :SLOTS] - wanted.slot_cents).abs() * wanted.slots_used).sum()
        / wanted.slots_used.sum().clamp(min=1),
        "inharmonicity": 0.03 * (outputs[:, SLOTS] - wanted.inharmonicities).abs().mean(),
    }


def weighted(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the sum of losses by kind."""
    return torch.stack([GROUP_WEIGHTS.get(name, 1.0) * value for name, value in parts.items()]).sum()


def step_loss(model: LatentModel, batch: Batch, divergence: float) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the loss of a batch, and its parts.

    Args:
        model: the network.
        batch: the notes.
        divergence: weight of the distance of the timbres to a normal distribution.
    """
    mean, log_variance = model.encode(batch.summaries, batch.encoded)
    log_variance = log_variance.clamp(-10, 4)
    timbres = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    timbre = (timbres * batch.weights[..., None]).sum(dim=1)
    frames, outputs = model.decode(timbre, batch.wanted.notes, batch.wanted.times)
    parts = losses(frames, outputs, batch.wanted)
    total = weighted(parts)
    surprise = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1).mean()
    return total + divergence * surprise, {k: float(v.detach()) for k, v in parts.items()} | {
        "kl": float(surprise.detach())
    }


def learning_rate(share: float) -> float:
    """Return the learning rate at a share of the training, 0 to 1: a short rise, then half a cosine."""
    return min(1.0, share / 0.02) * (LAST_RATE + (FIRST_RATE - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share)))


def main() -> int:
    """Train for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=frame_cache.DEFAULT_FOLDER / "MuseScore_General_Full")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training in all, with interruptions left out")
    parser.add_argument("--notes", type=int, default=32, help="of a batch")
    parser.add_argument("--frames-per-note", type=int, default=20)
    parser.add_argument("--divergence", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print each report as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    checkpoint = options.out.with_suffix(".checkpoint.pt")
    model = LatentModel(Sizes())
    optimizer = torch.optim.AdamW(model.parameters(), lr=FIRST_RATE, weight_decay=1e-4)
    spent = 0.0
    steps = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, steps = state["seconds"], state["steps"]
    data = Data(options.frames, options.seed + steps)
    limit = 60 * options.minutes
    count = data.refresh()
    if not data.long:
        print(f"{options.frames}: no frames of training programs; run extract_frames.py first", file=sys.stderr)
        return 1
    while spent < limit:
        began = time.monotonic()
        sums: dict[str, float] = {}
        before = steps
        while time.monotonic() - began < min(CHECKPOINT_SECONDS, limit - spent):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate((spent + time.monotonic() - began) / limit)
            loss, parts = step_loss(model, data.batch(options.notes, options.frames_per_note), options.divergence)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
        spent += time.monotonic() - began
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "seconds": spent, "steps": steps}
        with replacing(checkpoint) as part:
            torch.save(state, part)
        save_network(options.out, LatentNetwork(model.weights()))
        means = {name: round(value / (steps - before), 4) for name, value in sums.items()}
        report = {"minutes": round(spent / 60, 2), "steps": steps, "notes": count, **means}
        print(json.dumps(report) if options.json else report, flush=True)
        count = data.refresh()
    return 0


if __name__ == "__main__":
    sys.exit(main())
