"""Find the timbres of instruments: what the encoder makes of their notes, and what descent makes of that."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from instruments.latent.training.batches import Batches
from instruments.latent.training.inputs import scaled
from instruments.latent.training.losses import Weights, losses, total
from instruments.latent.training.mel import MelPower
from instruments.latent.training.model import LatentModel
from instruments.latent.training.notes import DeviceNotes

ONE_PITCH = 60.0
FIRST_RATE = 0.02
PRIOR = 1e-3
_CHUNK = 512
_LEAST_LOG_VARIANCE = -10.0
_MOST_LOG_VARIANCE = 4.0


def posterior(model: LatentModel, summaries: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and log variances of the timbres of notes; the variances stay in a sane range.

    Args:
        model: with the encoder.
        summaries: scaled, (..., SUMMARIES, LEVELS).
        seen: note features, (..., NOTE_FEATURES).
    """
    mean, log_variance = model.encode(summaries, seen)
    return mean, log_variance.clamp(_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE)


@torch.no_grad()
def encoded(model: LatentModel, notes: DeviceNotes, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return means and spreads of the timbres of long notes, (notes, timbre) each.

    Args:
        model: with the encoder.
        notes: all of them.
        chosen: indexes of the long notes.
    """
    means, spreads = [], []
    for first in range(0, len(chosen), _CHUNK):
        index = torch.as_tensor(chosen[first : first + _CHUNK], device=notes.device)
        mean, log_variance = posterior(model, scaled(notes.summaries(index)), notes.seen_features(index))
        means.append(mean)
        spreads.append((0.5 * log_variance).exp())
    return torch.cat(means), torch.cat(spreads)


def instrument_timbres(model: LatentModel, notes: DeviceNotes) -> tuple[Tensor, Tensor]:
    """Return the mean timbre of each instrument's training notes, and its spread, (instruments, timbre) each.

    An instrument that is held out has the timbre of one note, the long and loud one nearest to C4.
    """
    data = notes.data
    ones = one_notes(notes)
    chosen = [int(i) for i in notes.long if not data.held_out[i]]
    chosen += [i for owner, i in ones.items() if data.instruments_held_out[owner]]
    means, spreads = encoded(model, notes, np.array(chosen))
    owners = torch.as_tensor(data.instruments[chosen].astype(np.int64), device=notes.device)
    counts = torch.bincount(owners, minlength=len(data.names)).clamp(min=1)[:, None]
    empty = torch.zeros((len(data.names), means.shape[1]), device=notes.device)
    return empty.index_add(0, owners, means) / counts, empty.index_add(0, owners, spreads) / counts


def one_notes(notes: DeviceNotes) -> dict[int, int]:
    """Return the long and loud note nearest to C4 of each instrument that has long notes.

    Of an instrument that is trained on, it is a training note.
    """
    data = notes.data
    found: dict[int, int] = {}
    order = sorted(notes.long, key=lambda i: (abs(data.table[i, 0] - ONE_PITCH), -data.table[i, 1]))
    for i in order:
        owner = int(data.instruments[i])
        if data.instruments_held_out[owner] or not data.held_out[i]:
            found.setdefault(owner, int(i))
    return found


def refine(
    model: LatentModel,
    batches: Batches,
    timbres: Tensor,
    mel: MelPower,
    weights: Weights,
    size: tuple[int, int],
    share: Callable[[], float],
    prior: float = PRIOR,
) -> tuple[Tensor, list[float]]:
    """Move the timbres of all trained instruments until the decoder, which stays as it is, comes closest.

    Returns the timbres, and the losses of all steps.

    Args:
        model: with the decoder.
        batches: of training notes.
        timbres: to begin with, (instruments, timbre).
        mel: sums of power.
        weights: of the losses.
        size: notes of a batch, and frames of each.
        share: of the work that is done; the descent ends at 1.
        prior: weight of the squared distance to where a timbre began. A few notes must not move it far.
    """
    notes = batches.notes
    moved = timbres.detach().clone().requires_grad_(True)
    start = timbres.detach().clone()
    trained = torch.as_tensor(np.flatnonzero(notes.training.counts), device=notes.device)
    optimizer = torch.optim.Adam([moved], lr=FIRST_RATE)
    history = []
    while (done := share()) < 1:
        optimizer.param_groups[0]["lr"] = FIRST_RATE * (1 - done)
        rows = trained[torch.randint(len(trained), (size[0],), device=notes.device)]
        wanted = batches.wanted(notes.training.random(rows), size[1])
        own = F.embedding(rows, moved)
        frames, outputs = model.decode(own, wanted.notes, wanted.times)
        loss = total(losses(frames, outputs, wanted, mel, weights))
        distance = ((own - start[rows]) ** 2).sum(dim=1).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss + prior * distance)
        optimizer.step()
        # Also waits for the device, which keeps the time right.
        history.append(float(loss.detach()))
    return moved.detach(), history
