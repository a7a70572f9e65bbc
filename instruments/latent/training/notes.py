"""Keep all notes of a training on its device, and choose among them there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instruments.latent import features
from instruments.latent.frames import LEVELS
from instruments.latent.training.dataset import LONG_TICKS, Dataset
from instruments.latent.training.inputs import note_features

_CHUNK = 1 << 15
_LONGEST = 1 << 15
"""More than any tick."""
_SAME_TICKS = 40.0
"""Notes whose releases are this near to each other have the same length."""


class Choices:
    """Some notes of each instrument, from which random ones are taken.

    Args:
        notes: indexes of the notes.
        owners: instrument of each.
        instruments: number of all instruments.
        device: of the tables.
    """

    def __init__(
        self, notes: NDArray[np.int64], owners: NDArray[np.int32], instruments: int, device: torch.device
    ) -> None:
        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=instruments)
        self.counts = counts
        self._notes = torch.tensor(notes[order], device=device)
        self._counts = torch.tensor(counts, device=device)
        self._first = torch.tensor(np.cumsum(counts) - counts, device=device)

    def random(self, instruments: Tensor) -> Tensor:
        """Return a random note of each of some instruments, of the same shape."""
        count = self._counts[instruments]
        place = (torch.rand(instruments.shape, device=instruments.device) * count).long()
        return self._notes[self._first[instruments] + torch.minimum(place, count - 1)]


class DeviceNotes:
    """The notes of a dataset as tensors.

    Args:
        data: the notes.
        device: where they are kept.
    """

    def __init__(self, data: Dataset, device: torch.device) -> None:
        def moved(values: NDArray[np.generic], dtype: torch.dtype) -> Tensor:
            return torch.as_tensor(values, device=device).to(dtype)

        self.data = data
        self.device = device
        self.step_db = data.step_db
        self.levels = moved(data.levels, torch.uint8)
        self.ticks = moved(data.ticks, torch.float32)
        self.cents = moved(data.cents, torch.float32)
        self.weights = moved(data.weights, torch.float32)
        self.offsets = moved(data.offsets[:-1], torch.int64)
        self.counts = moved(np.diff(data.offsets), torch.int64)
        self.instruments = moved(data.instruments, torch.int64)
        table = moved(data.table, torch.float64).to(torch.float32)
        self.pitches, self.velocities, self.releases, self.ends, self.inharmonicities, self.floors = (
            table.T.contiguous()
        )
        self.slot_cents = moved(data.slot_cents, torch.float32)
        peaks = np.maximum.reduceat(data.levels, data.offsets[:-1], axis=0)
        self.peaks = moved(peaks, torch.uint8)
        self.long = np.flatnonzero(data.table[:, 2] > LONG_TICKS)
        self._long_row = torch.full((data.notes,), -1, dtype=torch.int64, device=device)
        self._long_row[torch.as_tensor(self.long, device=device)] = torch.arange(len(self.long), device=device)
        self._summaries = self._summed(self.long)
        count = len(data.names)
        training = np.flatnonzero(~data.held_out)
        long_training = self.long[~data.held_out[self.long]]
        self.training = Choices(training, data.instruments[training], count, device)
        self.encodable = Choices(long_training, data.instruments[long_training], count, device)
        seen = np.flatnonzero((self.training.counts > 0) & (self.encodable.counts > 0))
        self.seen = torch.as_tensor(seen, device=device)
        self._kinds, self._alike = self._partners()
        self._keys = self._frame_notes() * _LONGEST + self.ticks.long()

    def summaries(self, notes: Tensor) -> Tensor:
        """Return what the encoder sees of long notes, in dB, (..., SUMMARIES, LEVELS)."""
        return self._summaries[self._long_row[notes]].float()

    def seen_features(self, notes: Tensor) -> Tensor:
        """Return the features of notes, (..., NOTE_FEATURES)."""
        return note_features(self.pitches[notes], self.velocities[notes])

    def alike(self, notes: Tensor, instruments: Tensor) -> Tensor:
        """Return the training notes of other instruments with the same pitch, velocity and length, or -1.

        Args:
            notes: indexes of the notes.
            instruments: of the wanted ones, in the same shape.
        """
        return self._alike[instruments, self._kinds[notes]]

    def frames_at(self, notes: Tensor, ticks: Tensor) -> Tensor:
        """Return the index of each note's frame at a tick or the next one; its last frame if there is none.

        Args:
            notes: indexes of the notes, (notes,).
            ticks: (notes, frames).
        """
        last = self.offsets[notes] + self.counts[notes] - 1
        keys = notes[:, None] * _LONGEST + ticks.long().clamp(max=_LONGEST - 1)
        return torch.minimum(torch.searchsorted(self._keys, keys), last[:, None])

    def _partners(self) -> tuple[Tensor, Tensor]:
        """Return the kind of each note, (notes,), and each instrument's training note of each kind, or -1."""
        data = self.data
        kinds = np.column_stack((data.table[:, :2], np.round(data.table[:, 2] / _SAME_TICKS)))
        _, kind = np.unique(kinds, axis=0, return_inverse=True)
        kind = kind.reshape(-1)
        alike = np.full((len(data.names), int(kind.max(initial=-1)) + 1), -1, np.int64)
        training = np.flatnonzero(~data.held_out)
        alike[data.instruments[training], kind[training]] = training
        return torch.as_tensor(kind, device=self.device), torch.as_tensor(alike, device=self.device)

    def _frame_notes(self) -> Tensor:
        return torch.repeat_interleave(torch.arange(len(self.counts), device=self.device), self.counts)

    def _summed(self, notes: NDArray[np.int64]) -> Tensor:
        """Return the mean levels of the parts of notes in dB, (notes, SUMMARIES, LEVELS). See `features.summary`."""
        chosen = torch.as_tensor(notes, device=self.device)
        size = features.SUMMARIES
        rows = torch.zeros(len(self.counts), dtype=torch.int64, device=self.device)
        rows[chosen] = torch.arange(len(chosen), device=self.device)
        owner = self._frame_notes()
        used = torch.isin(owner, chosen).nonzero().squeeze(1)
        sums = torch.zeros((len(chosen) * size, LEVELS), device=self.device)
        counts = torch.zeros(len(chosen) * size, device=self.device)
        for first in range(0, len(used), _CHUNK):
            frame = used[first : first + _CHUNK]
            note = owner[frame]
            window = self._windows(self.ticks[frame], self.releases[note])
            inside = window >= 0
            index = (rows[note] * size + window)[inside]
            weight = self.weights[frame][inside]
            sums.index_add_(0, index, self.levels[frame[inside]] * weight[:, None])
            counts.index_add_(0, index, weight)
        means = (sums / counts.clamp(min=1)[:, None]).view(len(chosen), size, LEVELS)
        bounds = torch.tensor([*features.WINDOWS, *features.RELEASE_WINDOWS], device=self.device, dtype=torch.float32)
        starts, ends = bounds[:, 0].repeat(len(chosen), 1), bounds[:, 1].repeat(len(chosen), 1)
        release = self.releases[chosen][:, None]
        onset = len(features.WINDOWS)
        ends[:, :onset] = torch.minimum(ends[:, :onset], release)
        starts[:, onset:] += release
        ends[:, onset:] += release
        sounding = ((self.ends[chosen][:, None] - starts) / (ends - starts).clamp(min=1)).clamp(0, 1)
        levels: Tensor = self.floors[chosen][:, None, None] + self.step_db * means * sounding[..., None]
        return levels.half()

    @staticmethod
    def _windows(ticks: Tensor, releases: Tensor) -> Tensor:
        """Return the part of its note that each frame is in, or -1."""
        window = torch.full_like(ticks, -1, dtype=torch.int64)
        for i, (first, last) in enumerate(features.WINDOWS):
            window[(ticks >= first) & (ticks < last) & (ticks < releases)] = i
        for i, (first, last) in enumerate(features.RELEASE_WINDOWS, len(features.WINDOWS)):
            window[(ticks >= releases + first) & (ticks < releases + last)] = i
        return window
