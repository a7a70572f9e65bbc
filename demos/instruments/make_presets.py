"""Find the timbre of every program, and add the timbres to a network's file as presets.

    nice -n 19 python demos/instruments/make_presets.py latent.safetensors -o presets.safetensors [--minutes 2]

A preset begins as the mean of what the encoder makes of the program's long notes. Then the timbres of all programs are
moved by descent, so that the decoder, which stays as it is, comes closest to their notes. Held-out pitches are not
used. A held-out program has the timbre of one note, C4, as it is encoded.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from demos.instruments import frame_cache
from demos.instruments.evaluate_latent import Notes, mean_timbre
from demos.instruments.latent_model import LatentModel
from demos.instruments.train_latent import GROUP_WEIGHTS, Data, losses
from instruments.latent.files import read_network, save_network
from instruments.latent.general_midi import NAMES
from instruments.latent.network import LatentNetwork

FIRST_RATE = 0.03
PRIOR = 1e-3
"""Weight of the distance of the timbres to where they began: few notes shall not move them far."""


def encoded(network: LatentNetwork, notes: Notes) -> dict[int, np.ndarray]:
    """Return the timbre of each program that has a long note.

    Args:
        network: with the encoder.
        notes: all of them.
    """
    timbres = {}
    for program in sorted(notes.by_program):
        held_out = frame_cache.program_held_out(program)
        chosen = notes.at_one_pitch(program) if held_out else notes.training(program)
        if any(note.release > frame_cache.LONG_TICKS for note in chosen):
            timbres[program] = mean_timbre(network, chosen)
    return timbres


def refine(model: LatentModel, data: Data, timbres: dict[int, np.ndarray], seconds: float) -> tuple[float, float]:
    """Move the timbres of the training programs in place, and return the loss of the first and last steps.

    Args:
        model: the network, which stays as it is.
        data: the training notes.
        timbres: of the programs.
        seconds: how long.
    """
    model.requires_grad_(False)
    start = torch.tensor(np.stack([timbres[p] for p in sorted(timbres)]), dtype=torch.float32)
    row = {program: i for i, program in enumerate(sorted(timbres))}
    moved = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr=FIRST_RATE)
    history: list[float] = []
    began = time.monotonic()
    while (share := (time.monotonic() - began) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = FIRST_RATE * (1 - share)
        batch = data.batch(40, 16)
        index = torch.tensor([row[int(program)] for program in batch.programs])
        parts = losses(*model.decode(moved[index], batch.notes, batch.times), batch)
        loss = torch.stack([GROUP_WEIGHTS.get(name, 1.0) * value for name, value in parts.items()]).sum()
        distance = ((moved[index] - start[index]) ** 2).sum(dim=1).mean()
        optimizer.zero_grad()
        (loss + PRIOR * distance).backward()
        optimizer.step()
        history.append(float(loss.detach()))
    for program, i in row.items():
        timbres[program] = moved[i].detach().numpy().astype(np.float64)
    tenth = max(len(history) // 10, 1)
    return float(np.mean(history[:tenth])), float(np.mean(history[-tenth:]))


def main() -> int:
    """Find the timbres, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=frame_cache.DEFAULT_FOLDER / "MuseScore_General_Full")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = read_network(options.network)
    timbres = encoded(file.network, Notes(options.frames))
    before = after = float("nan")
    if options.minutes > 0:
        data = Data(options.frames, options.seed)
        data.refresh()
        model = LatentModel.of(file.network)
        before, after = refine(model, data, timbres, 60 * options.minutes)
    presets = {NAMES[program]: timbre for program, timbre in timbres.items()}
    save_network(options.out, file.network, presets, {**file.metadata, "soundfont": options.frames.name})
    result = {"presets": len(presets), "loss_before": round(before, 4), "loss_after": round(after, 4)}
    print(json.dumps(result) if options.json else f"{options.out}: {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
