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
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
from torch.nn import functional as F

from demos.instruments import frame_cache
from demos.instruments.frame_cache import CachedNote
from demos.instruments.latent_model import LatentModel
from instruments.latent import features
from instruments.latent.files import save_network
from instruments.latent.frames import HARMONICS, LEVELS, SLOTS
from instruments.latent.network import CENTS, LEAST_INHARMONICITY, SLOT_CENTS, LatentNetwork, Sizes
from instruments.latent.parameters import HIGHEST_HZ
from instruments.latent.pitch import midi_to_hz
from neural_fx.files import replacing

Item = TypeVar("Item")

CHECKPOINT_SECONDS = 60.0
ENCODED = 3
"""Notes whose timbres are averaged, at most."""
AFTER_END = 0.12
"""Share of the frames that are taken after the end of the note."""
LONGEST_AFTER = 200
GROUP_WEIGHTS = {"harmonics": 1.0, "slots": 0.7, "noise": 0.7}
FIRST_RATE = 2e-3
LAST_RATE = 5e-5


@dataclass
class Batch:
    """Notes to encode, and frames to decode.

    Attributes:
        programs: of the notes, (notes,).
        summaries: (notes, ENCODED, SUMMARIES, LEVELS).
        encoded: note features of these, (notes, ENCODED, NOTE_FEATURES).
        weights: of these in the mean, (notes, ENCODED).
        notes: note features of the notes to decode, (notes, NOTE_FEATURES).
        times: (notes, frames, TIME_FEATURES).
        levels: wanted, scaled, (notes, frames, LEVELS).
        floors: scaled, (notes,).
        cents: wanted, (notes, frames).
        alive: 1 before the end of the note, else 0, (notes, frames).
        audible: whether each harmonic is below the highest frequency, (notes, HARMONICS).
        slot_cents: wanted, (notes, SLOTS).
        slots_used: (notes, SLOTS).
        inharmonicities: wanted, (notes,).
    """

    programs: np.ndarray
    summaries: torch.Tensor
    encoded: torch.Tensor
    weights: torch.Tensor
    notes: torch.Tensor
    times: torch.Tensor
    levels: torch.Tensor
    floors: torch.Tensor
    cents: torch.Tensor
    alive: torch.Tensor
    audible: torch.Tensor
    slot_cents: torch.Tensor
    slots_used: torch.Tensor
    inharmonicities: torch.Tensor


class Data:
    """Training notes by program, read as they are extracted.

    Args:
        folder: of one SoundFont's frames.
        seed: of the choice of notes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.read: set[Path] = set()
        self.notes: dict[int, list[CachedNote]] = {}
        self.long: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def refresh(self) -> int:
        """Read files that are new and return how many notes there are."""
        for program in range(128):
            for part in frame_cache.PARTS:
                path = frame_cache.frames_path(self.folder, program, part)
                if path in self.read or frame_cache.program_held_out(program) or not path.is_file():
                    continue
                self.read.add(path)
                self._take([n for n in frame_cache.load_frames(self.folder, program, part) if not n.pitch_held_out])
        return sum(len(notes) for notes in self.notes.values())

    def _take(self, notes: list[CachedNote]) -> None:
        for note in notes:
            self.notes.setdefault(note.program, []).append(note)
            if note.is_long:
                self.long.setdefault(note.program, []).append(encoder_inputs(note))

    def batch(self, notes: int, frames: int) -> Batch:
        """Return random notes.

        Args:
            notes: how many.
            frames: of each.
        """
        programs = [program for program in self.notes if program in self.long]
        chosen = self.rng.choice(programs, notes)
        encoded = [[self._any(self.long[p]) for _ in range(ENCODED)] for p in chosen]
        used = (np.arange(ENCODED) < self.rng.integers(1, ENCODED + 1, notes)[:, None]).astype(np.float32)
        decoded = [self._any(self.notes[p]).frames for p in chosen]
        ticks = np.zeros((notes, frames), np.int64)
        levels = np.zeros((notes, frames, LEVELS), np.float32)
        cents = np.zeros((notes, frames), np.float32)
        floors = np.array([features.floor_of(note) for note in decoded])
        for i, note in enumerate(decoded):
            index = self.rng.integers(0, len(note.ticks), frames)
            ticks[i] = note.ticks[index]
            levels[i] = np.maximum(note.levels[index], floors[i])
            cents[i] = np.clip(note.cents[index], -70, 70)
            after = self.rng.random(frames) < AFTER_END
            ticks[i, after] = note.end + self.rng.integers(0, LONGEST_AFTER, after.sum())
            levels[i, after] = floors[i]
        ends = np.array([note.end for note in decoded])
        releases = np.array([note.release for note in decoded])
        times = features.time_features(ticks.reshape(-1), np.repeat(releases, frames))
        pitches = np.array([note.pitch for note in decoded])
        harmonic_hz = midi_to_hz(0) * 2 ** (pitches[:, None] / 12) * np.arange(1, HARMONICS + 1)
        slot_cents = np.stack([note.slot_cents for note in decoded])
        stiffness = np.array([note.inharmonicity for note in decoded])
        return Batch(
            programs=chosen,
            summaries=tensor(np.stack([[item[0] for item in row] for row in encoded])),
            encoded=tensor(np.stack([[item[1] for item in row] for row in encoded])),
            weights=tensor(used / used.sum(axis=1, keepdims=True)),
            notes=tensor(features.note_features(pitches, np.array([note.velocity for note in decoded]))),
            times=tensor(times.reshape(notes, frames, -1)),
            levels=tensor(features.scaled(levels)),
            floors=tensor(features.scaled(floors)),
            cents=tensor(cents / CENTS),
            alive=tensor(ticks < ends[:, None]),
            audible=tensor(harmonic_hz < HIGHEST_HZ),
            slot_cents=tensor(slot_cents / SLOT_CENTS),
            slots_used=tensor(slot_cents != 0),
            inharmonicities=tensor(np.log10(stiffness / LEAST_INHARMONICITY + 1)),
        )

    def _any(self, items: list[Item]) -> Item:
        return items[int(self.rng.integers(len(items)))]


def encoder_inputs(note: CachedNote) -> tuple[np.ndarray, np.ndarray]:
    """Return the summary and the note features of a long note."""
    frames = note.frames
    seen = features.note_features(np.array([frames.pitch]), np.array([frames.velocity]))[0]
    return features.summary(frames).astype(np.float32), seen


def tensor(values: np.ndarray) -> torch.Tensor:
    """Return an array as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def losses(frames: torch.Tensor, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    """Return what the decoder's answers cost, by kind.

    Args:
        frames: (notes, frames, FRAME_OUTPUTS).
        outputs: (notes, NOTE_OUTPUTS).
        batch: what was wanted.
    """
    # Below the floor, all levels are equally silent.
    found = torch.maximum(frames[..., :LEVELS], batch.floors[:, None, None])
    error = F.smooth_l1_loss(found, batch.levels, reduction="none", beta=0.1)
    harmonics, slots, noise = error.split((HARMONICS, SLOTS, LEVELS - HARMONICS - SLOTS), dim=-1)
    audible = batch.audible[:, None].expand_as(harmonics)
    cents = (frames[..., LEVELS] - batch.cents).abs() * batch.alive
    return {
        "harmonics": (harmonics * audible).sum() / audible.sum(),
        "slots": slots.mean(),
        "noise": noise.mean(),
        "cents": 0.1 * cents.mean(),
        "alive": 0.1 * F.binary_cross_entropy_with_logits(frames[..., LEVELS + 1], batch.alive),
        "slot_cents": 0.1
        * ((outputs[:, :SLOTS] - batch.slot_cents).abs() * batch.slots_used).sum()
        / batch.slots_used.sum().clamp(min=1),
        "inharmonicity": 0.03 * (outputs[:, SLOTS] - batch.inharmonicities).abs().mean(),
    }


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
    frames, outputs = model.decode(timbre, batch.notes, batch.times)
    parts = losses(frames, outputs, batch)
    total = sum((GROUP_WEIGHTS.get(name, 1.0) * value for name, value in parts.items()), torch.zeros(()))
    surprise = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1).mean()
    return total + divergence * surprise, {k: float(v.detach()) for k, v in parts.items()} | {
        "kl": float(surprise.detach())
    }


def learning_rate(share: float) -> float:
    """Return the learning rate at a share of the training, 0 to 1: a short rise, then half a cosine."""
    return min(1.0, share / 0.02) * (LAST_RATE + (FIRST_RATE - LAST_RATE) * 0.5 * (1 + np.cos(np.pi * share)))


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
