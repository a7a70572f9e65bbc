"""Move timbres by descent until the decoder comes closest to some notes."""

from __future__ import annotations

import numpy as np
import torch

from instruments.latent.frames import NoteFrames
from instruments.latent.network import LatentNetwork
from instruments.latent.training.batches import Batches
from instruments.latent.training.dataset import InstrumentNotes, dataset_of
from instruments.latent.training.losses import Weights
from instruments.latent.training.mel import MelPower
from instruments.latent.training.model import LatentModel
from instruments.latent.training.notes import DeviceNotes
from instruments.latent.training.timbres import refine

PRIOR = 3e-3
"""Weight of the squared distance to where a timbre began. A few notes must not move it far."""
_SIZE = (40, 16)


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
    torch.manual_seed(seed)
    device = torch.device("cpu")
    data = dataset_of(InstrumentNotes(str(i), of_one) for i, of_one in enumerate(notes))
    model = LatentModel.of(network).requires_grad_(False).eval()
    start = torch.tensor(np.stack(timbres), dtype=torch.float32)
    made = iter(range(steps + 1))
    found, history = refine(
        model,
        Batches(DeviceNotes(data, device)),
        start,
        MelPower(device),
        Weights(),
        _SIZE,
        lambda: next(made) / steps,
        PRIOR,
    )
    tenth = max(steps // 10, 1)
    values = list(found.numpy().astype(np.float64))
    return values, float(np.mean(history[:tenth])), float(np.mean(history[-tenth:]))
