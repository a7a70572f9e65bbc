"""Say how far the network's hits are from the wanted ones, in torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from instruments.drums.bands import FLOOR_DB
from instruments.drums.network import LEVEL_SCALE
from instruments.drums.training.augment import limited
from instruments.drums.training.features import Features
from instruments.drums.training.model import DrumAutoencoder


def level_loss(decoded: Tensor, levels: Tensor) -> Tensor:
    """Return the log-spectral distance in units of 10 dB, plus squared errors in these units.

    Each hit counts alike, however long it sounds. Where the hit is silent, only what is heard counts.
    """
    decoded = decoded - decoded.amax((1, 2), keepdim=True)
    error = (decoded - levels) / LEVEL_SCALE
    silent = levels <= FLOOR_DB
    squares = torch.where(silent, error.clamp(min=0), error).square().mean(1)  # (batch, frames)
    sounding = (~silent).any(1)
    count = sounding.sum(1).clamp(min=1)
    distance = ((squares + 1e-3).sqrt() * sounding).sum(1) / count
    square = (squares * sounding).sum(1) / count
    return 0.3 * distance.mean() + 0.5 * square.mean() + 0.5 * (squares * ~sounding).mean()


@torch.no_grad()
def quick_distances(model: DrumAutoencoder, features: Features) -> dict[str, float]:
    """Return log-spectral distances in dB between the bands of hits and of the network's versions, by source.

    Args:
        model: that encodes and decodes.
        features: of all hits. Those of the training split are averaged as ``trained on``.
    """
    device = model.mean.device
    known = features.where(features.drum >= 0)
    levels = limited(torch.tensor(known.levels, device=device).float())
    drum = torch.tensor(known.drum, device=device)
    knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
    mean, _ = model.encode(levels, torch.tensor(known.sines, device=device), drum, knobs)
    # As `DrumNetwork.decode` does, knobs are asked for within their range only.
    decoded = limited(model.decode(mean, drum, knobs.clamp(-0.15, 1.15))[0])
    sounding = (levels > FLOOR_DB).any(1) | (decoded > FLOOR_DB).any(1)
    by_frame = (decoded - levels).square().mean(1).sqrt() * sounding
    distance = (by_frame.sum(1) / sounding.sum(1)).cpu().numpy()
    trained = known.split == "train"
    found = {"recorded, trained on": distance[trained & (known.source != "synthetic")]}
    for source in np.unique(known.source):
        found[str(source)] = distance[(known.source == source) & ~trained]
    return {name: round(float(values.mean()), 2) for name, values in found.items() if len(values)}
