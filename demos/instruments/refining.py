"""Move timbres by descent until the decoder comes closest to some notes."""

from __future__ import annotations

import numpy as np
import torch
from demos.instruments.latent_model import LatentModel

from demos.instruments.latent_batches import wanted_frames
from demos.instruments.train_latent import losses, weighted
from instruments.latent.frames import NoteFrames
from instruments.latent.network import LatentNetwork

FIRST_RATE = 0.03
PRIOR = 3e-3
"""Weight of the squared distance to where a timbre began. A few notes must not move it far."""
_NOTES = 40
_FRAMES = 16


def refined(
    network: LatentNetwork, timbres: list[np.ndarray], notes: list[list[NoteFrames]], steps: int, seed: int = 0
) -> tuple[list[np.ndarray], float, float]:
    """Return better timbres, and the mean loss of the first and of the last tenth of the steps.

    Args:
        network: whose decoder plays, and stays as it is.
        timbres: to begin with.
        notes: of each timbre.
        steps: of the descent, with 40 random notes each.
        seed: of the choice of notes and frames.
    """
    model = LatentModel.of(network).requires_grad_(False)
    rng = np.random.default_rng(seed)
    start = torch.tensor(np.stack(timbres), dtype=torch.float32)
    moved = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr=FIRST_RATE)
    history = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = FIRST_RATE * (1 - step / steps)
        rows = rng.integers(len(timbres), size=_NOTES)
        wanted = wanted_frames([notes[row][rng.integers(len(notes[row]))] for row in rows], _FRAMES, rng)
        chosen = torch.from_numpy(rows)
        loss = weighted(losses(*model.decode(moved[chosen], wanted.notes, wanted.times), wanted))
        distance = ((moved[chosen] - start[chosen]) ** 2).sum(dim=1).mean()
        optimizer.zero_grad()
        (loss + PRIOR * distance).backward()
        optimizer.step()
        history.append(float(loss.detach()))
    tenth = max(steps // 10, 1)
    found = list(moved.detach().numpy().astype(np.float64))
    return found, float(np.mean(history[:tenth])), float(np.mean(history[-tenth:]))
