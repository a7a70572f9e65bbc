"""Choose notes to encode and frames to decode, and vary them as samplers and equalisers would."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instruments.latent import features
from instruments.latent.frames import SLOT_RATIOS, SLOTS
from instruments.latent.network import CENTS, LEAST_INHARMONICITY, SLOT_CENTS
from instruments.latent.noise import CENTRES
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ
from instruments.latent.training.inputs import note_features, scaled, time_features
from instruments.latent.training.notes import DeviceNotes
from instruments.latent.training.variations import (
    PLAIN,
    Equaliser,
    Mixture,
    Variation,
    random_mixture,
    shifted_noise,
)

ENCODED = 3
"""Notes whose timbres are averaged, at most."""
AFTER_END = 0.1
"""Share of the frames that are taken after the end of the note."""
LONGEST_AFTER = 200
PITCHED_DB = 12.0
"""A note counts as pitched if a harmonic is this far above all noise bands."""


@dataclass
class Wanted:
    """Frames that the decoder should make.

    Attributes:
        notes: note features, (notes, NOTE_FEATURES).
        times: (notes, frames, TIME_FEATURES).
        levels: in dB, (notes, frames, LEVELS).
        floors: in dB, (notes,).
        cents: scaled, (notes, frames).
        alive: 1 before the end of the note, else 0, (notes, frames).
        audible: whether each harmonic is below the highest frequency, (notes, HARMONICS).
        slot_cents: scaled, (notes, SLOTS).
        slots_used: (notes, SLOTS).
        inharmonicities: scaled, (notes,).
        pitches: MIDI notes, (notes,).
        pitched: whether each note has a clear pitch, (notes,).
    """

    notes: Tensor
    times: Tensor
    levels: Tensor
    floors: Tensor
    cents: Tensor
    alive: Tensor
    audible: Tensor
    slot_cents: Tensor
    slots_used: Tensor
    inharmonicities: Tensor
    pitches: Tensor
    pitched: Tensor


@dataclass
class Batch:
    """Notes to encode, and frames of other notes of the same instruments to decode.

    Attributes:
        instruments: of the notes, (notes,).
        summaries: scaled, (notes, ENCODED, SUMMARIES, LEVELS).
        encoded: note features of these, (notes, ENCODED, NOTE_FEATURES).
        weights: of these in the mean, (notes, ENCODED).
        own: whether the notes sound as in the data, so that the timbre is the instrument's own, (notes,).
        wanted: to decode.
    """

    instruments: Tensor
    summaries: Tensor
    encoded: Tensor
    weights: Tensor
    own: Tensor
    wanted: Wanted


class Batches:
    """Random batches.

    Args:
        notes: to choose from.
        variation: of the notes.
    """

    def __init__(self, notes: DeviceNotes, variation: Variation = PLAIN) -> None:
        def constant(values: object) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=notes.device)

        self.notes = notes
        self.variation = variation
        self._harmonics = torch.arange(1, HARMONICS + 1, device=notes.device)
        self._ratios = torch.cat((self._harmonics.float(), constant(SLOT_RATIOS)))
        self._centres = constant(CENTRES)

    def random(self, count: int, frames: int) -> Batch:
        """Return random notes of the training.

        Args:
            count: how many.
            frames: of each.
        """
        notes = self.notes
        seen = notes.seen
        instruments = seen[torch.randint(len(seen), (count,), device=notes.device)]
        encoded = notes.encodable.random(instruments[:, None].expand(-1, ENCODED))
        used = torch.arange(ENCODED, device=notes.device) < torch.randint(
            1, ENCODED + 1, (count, 1), device=notes.device
        )
        weights = used.float() / used.sum(dim=1, keepdim=True)
        chosen = notes.training.random(instruments)
        curve = Equaliser(count, self.variation.equalised, notes.device) if self.variation.equalised else None
        mixture = random_mixture(notes, chosen, encoded, self.variation.mixed) if self.variation.mixed else None
        own = torch.ones(count, dtype=torch.bool, device=notes.device)
        if curve is not None:
            own &= ~curve.used
        if mixture is not None:
            own &= mixture.shares == 0
        return Batch(
            instruments=instruments,
            summaries=scaled(self._summaries(encoded, curve, mixture)),
            encoded=notes.seen_features(encoded),
            weights=weights,
            own=own,
            wanted=self.wanted(chosen, frames, curve, mixture),
        )

    def wanted(
        self, chosen: Tensor, frames: int, curve: Equaliser | None = None, mixture: Mixture | None = None
    ) -> Wanted:
        """Return random frames of notes.

        Args:
            chosen: indexes of the notes, (notes,).
            frames: of each note.
            curve: that they go through.
            mixture: with notes of other instruments.
        """
        notes = self.notes
        device = notes.device
        count = len(chosen)
        place = (torch.rand((count, frames), device=device) * notes.counts[chosen, None]).long()
        index = notes.offsets[chosen, None] + torch.minimum(place, notes.counts[chosen, None] - 1)
        after = torch.rand((count, frames), device=device) < AFTER_END
        later = notes.ends[chosen, None] + torch.randint(LONGEST_AFTER, (count, frames), device=device)
        ticks = torch.where(after, later, notes.ticks[index])
        steps = notes.levels[index].float() * ~after[..., None]
        levels = notes.floors[chosen][:, None, None] + notes.step_db * steps
        cents = notes.cents[index]
        slot_cents = notes.slot_cents[chosen]
        stiffness = torch.log10(notes.inharmonicities[chosen] / LEAST_INHARMONICITY + 1)
        ends = notes.ends[chosen]
        if mixture is not None:
            other, share = mixture.wanted, mixture.shares
            there = notes.frames_at(other, ticks)
            steps = notes.levels[there].float() * (ticks < notes.ends[other, None])[..., None]
            levels = torch.lerp(
                levels, notes.floors[other][:, None, None] + notes.step_db * steps, share[:, None, None]
            )
            cents = torch.lerp(cents, notes.cents[there], share[:, None])
            slot_cents = torch.where((share > 0.5)[:, None], notes.slot_cents[other], slot_cents)
            stiffness = torch.lerp(
                stiffness, torch.log10(notes.inharmonicities[other] / LEAST_INHARMONICITY + 1), share
            )
            ends = torch.where(share > 0, torch.maximum(ends, notes.ends[other]), ends)
        moved = torch.rand(count, device=device) < self.variation.shifted
        shifts = (2 * torch.rand(count, device=device) - 1) * self.variation.farthest * moved
        pitches = notes.pitches[chosen] + shifts
        if self.variation.shifted > 0:
            levels = torch.cat(
                (levels[..., : -len(self._centres)], shifted_noise(levels, shifts, self._centres)), dim=-1
            )
        peaks = self._peaks(chosen, None if mixture is None else (mixture.wanted, mixture.shares))
        levels, floors = self._played(levels, peaks, self.frequencies(pitches), curve)
        highest = torch.maximum(pitches, notes.pitches[chosen])
        return Wanted(
            notes=note_features(pitches, notes.velocities[chosen]),
            times=time_features(ticks, notes.releases[chosen, None].expand_as(ticks)),
            levels=levels,
            floors=floors,
            cents=cents.clamp(-70, 70) / CENTS,
            alive=(ticks < ends[:, None]).float(),
            audible=(_hz(highest)[:, None] * self._harmonics < HIGHEST_HZ).float(),
            slot_cents=slot_cents / SLOT_CENTS,
            slots_used=(slot_cents != 0).float(),
            inharmonicities=stiffness,
            pitches=pitches,
            pitched=peaks[:, :HARMONICS].amax(dim=1) - peaks[:, HARMONICS + SLOTS :].amax(dim=1) >= PITCHED_DB,
        )

    def frequencies(self, pitches: Tensor) -> Tensor:
        """Return the frequency of each level of notes in Hz, (..., LEVELS)."""
        sinusoids = _hz(pitches)[..., None] * self._ratios
        return torch.cat((sinusoids, self._centres.expand(*pitches.shape, -1)), dim=-1)

    def _summaries(self, encoded: Tensor, curve: Equaliser | None, mixture: Mixture | None) -> Tensor:
        """Return what the encoder sees in dB, (notes, ENCODED, SUMMARIES, LEVELS)."""
        levels = self.notes.summaries(encoded)
        if curve is None and mixture is None:
            return levels
        other = None
        if mixture is not None:
            share = mixture.shares[:, None].expand_as(encoded)
            other = mixture.encoded, share
            levels = torch.lerp(levels, self.notes.summaries(mixture.encoded), share[..., None, None])
        peaks = self._peaks(encoded, other)
        return self._played(levels, peaks, self.frequencies(self.notes.pitches[encoded]), curve)[0]

    def _peaks(self, chosen: Tensor, other: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the highest of each level in notes in dB, (..., LEVELS).

        Args:
            chosen: indexes of the notes.
            other: notes of a mixture, and their shares.
        """
        notes = self.notes
        peaks: Tensor = notes.floors[chosen][..., None] + notes.step_db * notes.peaks[chosen].float()
        if other is None:
            return peaks
        index, share = other
        others = notes.floors[index][..., None] + notes.step_db * notes.peaks[index].float()
        return torch.lerp(peaks, others, share[..., None])

    def _played(self, levels: Tensor, peaks: Tensor, hz: Tensor, curve: Equaliser | None) -> tuple[Tensor, Tensor]:
        """Return levels after an equaliser in dB, and the floor of each note.

        Args:
            levels: (..., frames, LEVELS).
            peaks: highest of each level, (..., LEVELS).
            hz: frequency of each level, (..., LEVELS).
            curve: of the equaliser.
        """
        floors = peaks.amax(dim=-1) - features.RANGE_DB
        if curve is not None:
            gains = curve.gains(hz)
            sounding = levels > floors[..., None, None] + 0.1
            floors = (peaks + gains).amax(dim=-1) - features.RANGE_DB
            levels = torch.where(sounding, levels + gains[..., None, :], floors[..., None, None])
        return torch.maximum(levels, floors[..., None, None]), floors


def _hz(pitches: Tensor) -> Tensor:
    hz: Tensor = 440 * torch.exp2((pitches - 69) / 12)
    return hz
