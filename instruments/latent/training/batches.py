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

ENCODED = 3
"""Notes whose timbres are averaged, at most."""
AFTER_END = 0.1
"""Share of the frames that are taken after the end of the note."""
LONGEST_AFTER = 200
PITCHED_DB = 12.0
"""A note counts as pitched if a harmonic is this far above all noise bands."""
_TILT_DB = 1.5
_BUMP_DB = 6.0
_GAIN_DB = 4.0


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
class _Mixture:
    """How far each note of a batch is from its instrument to another one.

    Attributes:
        shares: 0 to 1, (notes,).
        wanted: notes of the other instrument that are like those to decode, (notes,).
        encoded: the same for those to encode, (notes, ENCODED).
    """

    shares: Tensor
    wanted: Tensor
    encoded: Tensor


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
        curve = _Equaliser(count, self.variation.equalised, notes.device) if self.variation.equalised else None
        mixture = self._mixture(chosen, encoded) if self.variation.mixed else None
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
        self, chosen: Tensor, frames: int, curve: _Equaliser | None = None, mixture: _Mixture | None = None
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
            levels = torch.cat((levels[..., : -len(self._centres)], self._shifted_noise(levels, shifts)), dim=-1)
        peaks = self._peaks(chosen, None if mixture is None else (mixture.wanted, mixture.shares))
        levels, floors = self._played(levels, peaks, self.frequencies(pitches), curve)
        highest = torch.maximum(pitches, notes.pitches[chosen])
        noise = peaks[:, HARMONICS + SLOTS :].amax(dim=1)
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
            pitched=peaks[:, :HARMONICS].amax(dim=1) - noise >= PITCHED_DB,
        )

    def frequencies(self, pitches: Tensor) -> Tensor:
        """Return the frequency of each level of notes in Hz, (..., LEVELS)."""
        sinusoids = _hz(pitches)[..., None] * self._ratios
        return torch.cat((sinusoids, self._centres.expand(*pitches.shape, -1)), dim=-1)

    def _summaries(self, encoded: Tensor, curve: _Equaliser | None, mixture: _Mixture | None) -> Tensor:
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
        peaks = notes.floors[chosen][..., None] + notes.step_db * notes.peaks[chosen].float()
        if other is None:
            return peaks
        index, share = other
        others = notes.floors[index][..., None] + notes.step_db * notes.peaks[index].float()
        return torch.lerp(peaks, others, share[..., None])

    def _played(self, levels: Tensor, peaks: Tensor, hz: Tensor, curve: _Equaliser | None) -> tuple[Tensor, Tensor]:
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

    def _mixture(self, chosen: Tensor, encoded: Tensor) -> _Mixture:
        """Return a random mixture with notes of the same pitch, velocity and length; none where there are no such.

        Args:
            chosen: notes to decode, (notes,).
            encoded: notes to encode, (notes, ENCODED).
        """
        notes = self.notes
        count = len(chosen)
        instruments = notes.seen[torch.randint(len(notes.seen), (count,), device=notes.device)]
        wanted = notes.alike(chosen, instruments)
        others = notes.alike(encoded, instruments[:, None].expand_as(encoded))
        mixed = (wanted >= 0) & (others >= 0).all(dim=1)
        mixed &= torch.rand(count, device=notes.device) < self.variation.mixed
        return _Mixture(
            shares=torch.rand(count, device=notes.device) * mixed,
            wanted=torch.where(mixed, wanted, chosen),
            encoded=torch.where(mixed[:, None], others, encoded),
        )

    def _shifted_noise(self, levels: Tensor, shifts: Tensor) -> Tensor:
        """Return the noise of notes that are moved in pitch: all its frequencies move as well."""
        noise = levels[..., HARMONICS + SLOTS :]
        hz = self._centres * torch.exp2(-shifts[:, None] / 12)
        right = torch.searchsorted(self._centres, hz).clamp(1, len(self._centres) - 1)
        low, high = self._centres[right - 1], self._centres[right]
        share = ((hz - low) / (high - low)).clamp(0, 1)[:, None]
        index = right[:, None].expand_as(noise)
        return torch.lerp(noise.gather(-1, index - 1), noise.gather(-1, index), share)


class _Equaliser:
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
            return values.view(-1, *[1] * (hz.ndim - 1))

        bump = torch.exp(-(((octaves - wide(self._octave)) / wide(self._width)) ** 2))
        tilted = _TILT_DB * wide(self._tilt) * octaves.clamp(-4, 4)
        return tilted + _BUMP_DB * wide(self._bump) * bump + _GAIN_DB * wide(self._gain)


def _hz(pitches: Tensor) -> Tensor:
    hz: Tensor = 440 * torch.exp2((pitches - 69) / 12)
    return hz
