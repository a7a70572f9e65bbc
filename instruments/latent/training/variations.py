"""Vary notes as samplers, equalisers and layers of two instruments would."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instruments.latent.frames import SLOTS
from instruments.latent.parameters import HARMONICS
from instruments.latent.training.notes import DeviceNotes

_TILT_DB = 1.5
_BUMP_DB = 6.0
_GAIN_DB = 4.0


@dataclass(frozen=True)
class Variation:
    """How notes are varied.

    Attributes:
        shifted: share of the notes that are moved in pitch, as a sampler does.
        farthest: of these moves, in semitones.
        equalised: share of the notes that go through a random equaliser, with those that are encoded.
        mixed: share of the notes that become a mixture of two instruments, with those that are encoded.
    """

    shifted: float = 0.5
    farthest: float = 3.0
    equalised: float = 0.0
    mixed: float = 0.0


PLAIN = Variation(shifted=0.0)


@dataclass
class Mixture:
    """How far each note of a batch is from its instrument to another one.

    Attributes:
        shares: 0 to 1, (notes,).
        wanted: notes of the other instrument that are like those to decode, (notes,).
        encoded: the same for those to encode, (notes, ENCODED).
    """

    shares: Tensor
    wanted: Tensor
    encoded: Tensor


class Equaliser:
    """A random tilt, bump and gain for each row of a batch; none for some rows.

    Args:
        rows: how many.
        share: of the rows that have one.
        device: of the curves.
    """

    def __init__(self, rows: int, share: float, device: torch.device) -> None:
        self.used = torch.rand(rows, device=device) < share
        self._tilt, self._bump, self._gain = torch.randn(3, rows, device=device) * self.used
        place, width = torch.rand(2, rows, device=device)
        self._octave = -3 + 6 * place
        self._width = 0.4 + 1.2 * width

    def gains(self, hz: Tensor) -> Tensor:
        """Return the gains in dB at frequencies, (rows, ..., values)."""
        octaves = torch.log2(hz / 1000)

        def wide(values: Tensor) -> Tensor:
            widened: Tensor = values.view(-1, *[1] * (hz.ndim - 1))
            return widened

        bump = torch.exp(-(((octaves - wide(self._octave)) / wide(self._width)) ** 2))
        tilted = _TILT_DB * wide(self._tilt) * octaves.clamp(-4, 4)
        gains: Tensor = tilted + _BUMP_DB * wide(self._bump) * bump + _GAIN_DB * wide(self._gain)
        return gains


def random_mixture(notes: DeviceNotes, chosen: Tensor, encoded: Tensor, share: float) -> Mixture:
    """Return a random mixture with notes of the same pitch, velocity and length; none where there are no such.

    Args:
        notes: all of them.
        chosen: notes to decode, (notes,).
        encoded: notes to encode, (notes, ENCODED).
        share: of the notes that are mixed, if there are notes to mix them with.
    """
    count = len(chosen)
    instruments = notes.seen[torch.randint(len(notes.seen), (count,), device=notes.device)]
    wanted = notes.alike(chosen, instruments)
    others = notes.alike(encoded, instruments[:, None].expand_as(encoded))
    mixed = (wanted >= 0) & (others >= 0).all(dim=1)
    mixed &= torch.rand(count, device=notes.device) < share
    return Mixture(
        shares=torch.rand(count, device=notes.device) * mixed,
        wanted=torch.where(mixed, wanted, chosen),
        encoded=torch.where(mixed[:, None], others, encoded),
    )


def shifted_noise(levels: Tensor, shifts: Tensor, centres: Tensor) -> Tensor:
    """Return the noise of notes that are moved in pitch: all its frequencies move as well.

    Args:
        levels: (notes, frames, LEVELS).
        shifts: in semitones, (notes,).
        centres: of the noise bands in Hz, (bands,).
    """
    noise = levels[..., HARMONICS + SLOTS :]
    hz = centres * torch.exp2(-shifts[:, None] / 12)
    right = torch.searchsorted(centres, hz).clamp(1, len(centres) - 1)
    low, high = centres[right - 1], centres[right]
    share = ((hz - low) / (high - low)).clamp(0, 1)[:, None]
    index = right[:, None].expand_as(noise)
    moved: Tensor = torch.lerp(noise.gather(-1, index - 1), noise.gather(-1, index), share)
    return moved
