"""Settings of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from instruments.latent.network import Sizes
from instruments.latent.training.losses import Weights
from instruments.latent.training.variations import Variation


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        sizes: of the layers.
        seconds: of training in all, with the set-up, and with interruptions left out.
        refining: share of this time in which only the timbres of the presets are refined.
        notes: of a batch.
        frames: of each note.
        first_rate: highest learning rate.
        last_rate: learning rate at the end.
        weight_decay: of the layers.
        dropout: share of the decoder's units that are left out at random.
        divergence: weight of the distance of the timbres to a normal distribution.
        morph: weight of how far morphs are from a straight way.
        free_from: share of the time after which instruments also have a timbre that is learned without the encoder.
        free_share: share of the notes that are then played with it.
        averaging: how slowly the averaged weights follow, near 1. The averaged ones are the result.
        variation: of the notes.
        weights: of the losses.
        report_seconds: time between reports, each with a checkpoint and the file as it is by then.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        seed: of all choices.
    """

    sizes: Sizes = field(default_factory=Sizes)
    seconds: float = 1200.0
    refining: float = 0.06
    notes: int = 32
    frames: int = 20
    first_rate: float = 2e-3
    last_rate: float = 2e-5
    weight_decay: float = 1e-3
    dropout: float = 0.0
    divergence: float = 3e-4
    morph: float = 0.03
    free_from: float = 0.4
    free_share: float = 0.5
    averaging: float = 0.999
    variation: Variation = field(default_factory=Variation)
    weights: Weights = field(default_factory=Weights)
    report_seconds: float = 20.0
    device: str = "auto"
    seed: int = 0

    def described(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)
