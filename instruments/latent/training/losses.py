"""What the decoder's answers cost.

Partials cost more if they are missed than if they are too loud: where one is uncertain, the median would be silence.
Sums of power in ear-like bands keep the energy right where single levels cannot be known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from instruments.latent import features
from instruments.latent.frames import LEVELS, SLOTS
from instruments.latent.parameters import HARMONICS
from instruments.latent.training.batches import Wanted
from instruments.latent.training.inputs import scaled
from instruments.latent.training.mel import MelPower

HEARD_DB = 20.0
"""Levels this far above the floor count fully."""
_QUIET_WEIGHT = 0.4
_BETA = 0.1


@dataclass(frozen=True)
class Weights:
    """Weights of the losses.

    Attributes:
        harmonics: of all harmonics.
        heard: of those that are heard, with the same weight for every note.
        slots: of the free partials.
        missed: how much more a partial costs that is missed.
        noise: of the noise bands.
        cents: of the pitch.
        mel: of the powers of ear-like bands.
        power: of the power of all.
    """

    harmonics: float = 1.0
    heard: float = 0.3
    slots: float = 1.0
    missed: float = 2.0
    noise: float = 0.7
    cents: float = 0.3
    mel: float = 0.3
    power: float = 0.1


def losses(frames: Tensor, outputs: Tensor, wanted: Wanted, mel: MelPower, weights: Weights) -> dict[str, Tensor]:
    """Return what the decoder's answers cost, by kind, each times its weight.

    Args:
        frames: (notes, frames, FRAME_OUTPUTS).
        outputs: (notes, NOTE_OUTPUTS).
        wanted: the answers.
        mel: sums of power; not used if they have no weight.
        weights: of the kinds.
    """
    floors = scaled(wanted.floors)[:, None, None]
    levels = scaled(wanted.levels)
    # Below the floor, all levels are equally silent.
    found = torch.maximum(frames[..., :LEVELS], floors)
    error = F.smooth_l1_loss(found, levels, reduction="none", beta=_BETA)
    loud = torch.maximum(found.detach(), levels) > floors + HEARD_DB / features.LEVEL_DB
    importance = torch.where(loud, 1.0, _QUIET_WEIGHT)
    error = error * importance
    harmonics = error[..., :HARMONICS]
    slots = error[..., HARMONICS : HARMONICS + SLOTS]
    noise = error[..., HARMONICS + SLOTS :]
    audible = wanted.audible[:, None].expand_as(harmonics)
    heard = loud[..., :HARMONICS] * audible
    per_note = (harmonics * heard).sum(dim=(1, 2)) / heard.sum(dim=(1, 2)).clamp(min=1)
    short = (levels > found.detach()) & (levels > floors + HEARD_DB / features.LEVEL_DB)
    missed = 1 + weights.missed * short[..., HARMONICS : HARMONICS + SLOTS]
    cents = (frames[..., LEVELS] - wanted.cents).abs() * wanted.alive * (0.2 + 0.8 * wanted.pitched)[:, None]
    parts = {
        "harmonics": weights.harmonics * (harmonics * audible).sum() / audible.sum(),
        "heard": weights.heard * per_note.mean(),
        "slots": weights.slots * (slots * missed).mean(),
        "noise": weights.noise * noise.mean(),
        "cents": weights.cents * cents.mean(),
        "alive": 0.1 * F.binary_cross_entropy_with_logits(frames[..., LEVELS + 1], wanted.alive),
        "slot_cents": 0.1
        * ((outputs[:, :SLOTS] - wanted.slot_cents).abs() * wanted.slots_used).sum()
        / wanted.slots_used.sum().clamp(min=1),
        "inharmonicity": 0.03 * (outputs[:, SLOTS] - wanted.inharmonicities).abs().mean(),
    }
    if weights.mel or weights.power:
        top = wanted.floors[:, None, None] + features.RANGE_DB
        wanted_powers = mel(wanted.levels - top, wanted.pitches)
        powers = mel((found * features.LEVEL_DB + features.MIDDLE_DB - top).clamp(max=30.0), wanted.pitches)
        parts["mel"] = weights.mel * _distance(powers, wanted_powers)
        parts["power"] = weights.power * _distance(powers.sum(dim=-1), wanted_powers.sum(dim=-1))
    return parts


def total(parts: dict[str, Tensor]) -> Tensor:
    """Return the sum of losses by kind."""
    return torch.stack(list(parts.values())).sum()


def between(model_frames: Tensor, first: Tensor, last: Tensor, share: Tensor, floors: Tensor) -> Tensor:
    """Return how far a morph is from the straight way between its ends.

    Args:
        model_frames: decoded between two timbres, (notes, frames, FRAME_OUTPUTS).
        first: decoded at the first timbre.
        last: decoded at the second one.
        share: of the way, (notes,).
        floors: of the notes in dB, (notes,).
    """
    lowest = scaled(floors)[:, None, None]
    middle, start, end = (torch.maximum(x[..., :LEVELS], lowest) for x in (model_frames, first, last))
    straight = torch.lerp(start, end, share[:, None, None])
    return (middle - straight).abs().mean()


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean difference of powers in the network's units."""
    least = 10 ** (-features.RANGE_DB / 10)
    ratio = torch.log10((found + least) / (wanted + least))
    return ratio.abs().mean() * (10 / features.LEVEL_DB)
