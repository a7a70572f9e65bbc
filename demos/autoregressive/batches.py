"""Choose windows of packed notes, all on the device that trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demos.autoregressive.notes import Note
from neural_fx.networks.autoregressive.layers import interpolated
from neural_fx.networks.autoregressive.model import Autoregressive
from neural_fx.networks.autoregressive.signal import Signal

FROM_START = 0.15
"""Share of the windows that begin where a note does, from silence, as in generation."""
CLEAN = 0.3
"""Share of the windows without noise in their past."""
LEAST_NOISE, MOST_NOISE = 0.004, 0.4
"""Range of the noise's level in the other windows. The samples have unit level."""
LEVEL_NOISE = 0.03
"""Noise of the level that the network is told, in units of 20 dB."""
VOICE_NOISE = 0.05


@dataclass
class Batch:
    """Windows of notes.

    Attributes:
        classes: to predict, (windows, samples).
        previous: the sample before each, with noise, (windows, samples).
        conditions: (windows, samples, conditions).
        counted: whether a sample counts in the loss, (windows, samples). The first ones of a window do not, unless the
            note begins there.
    """

    classes: Tensor
    previous: Tensor
    conditions: Tensor
    counted: Tensor


class Windows:
    """Notes on a device.

    Args:
        notes: that windows are taken from. Each must be as long as a window.
        signal: of their classes.
        device: where they are kept.
    """

    def __init__(self, notes: list[Note], signal: Signal, device: torch.device) -> None:
        self._signal = signal
        self._device = device
        lengths = np.array([len(n.classes) for n in notes])
        counts = np.array([len(n.hz) for n in notes])
        self._classes = torch.from_numpy(np.concatenate([n.classes for n in notes])).to(device)
        self._frames = torch.from_numpy(np.concatenate([n.frames(signal) for n in notes])).to(device)
        self._cycles = torch.from_numpy(np.concatenate([n.cycles for n in notes])).to(device)
        self._lengths = torch.from_numpy(lengths).to(device)
        self._counts = torch.from_numpy(counts).to(device)
        self._first = torch.from_numpy(np.cumsum(lengths) - lengths).to(device)
        self._first_frame = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        voices = np.array([n.voice for n in notes])
        self._voices = torch.from_numpy(voices).to(device)
        # All instruments are heard equally long.
        shares = lengths / np.bincount(voices, lengths)[voices]
        self._shares = torch.from_numpy(shares).float().to(device)
        law = signal.decode(np.arange(signal.levels))
        self._law = torch.from_numpy(law).float().to(device)

    def choose(self, model: Autoregressive, windows: int, samples: int, uncounted: int) -> Batch:
        """Return random windows with noise in their past.

        Args:
            model: makes the conditions.
            windows: how many.
            samples: of each.
            uncounted: samples of a window that do not count, unless a note begins there.
        """
        notes = torch.multinomial(self._shares, windows, replacement=True)
        room = (self._lengths[notes] - samples).clamp(min=0)
        starts = (torch.rand(windows, device=self._device) * (room + 1)).long().clamp(max=room)
        begins = torch.rand(windows, device=self._device) < FROM_START
        starts = torch.where(begins, 0, starts)
        batch = self.window(model, notes, starts, samples, training=True)
        late = torch.arange(samples, device=self._device) >= uncounted
        batch.counted = late | (starts == 0)[:, None]
        return batch

    def window(
        self, model: Autoregressive, notes: Tensor, starts: Tensor, samples: int, training: bool = False
    ) -> Batch:
        """Return given windows.

        Args:
            model: makes the conditions.
            notes: (windows,).
            starts: first samples, (windows,).
            samples: of each.
            training: whether there is noise in the past and in the conditions.
        """
        signal = self._signal
        at = starts[:, None] + torch.arange(-1, samples, device=self._device)
        inside = at.clamp(min=0).minimum(self._lengths[notes, None] - 1)
        classes = self._classes[self._first[notes, None] + inside].long()
        classes = torch.where((at < 0) | (at >= self._lengths[notes, None]), signal.zero, classes)
        frame = starts[:, None] // signal.hop + torch.arange(samples // signal.hop + 3, device=self._device)
        frame = self._first_frame[notes, None] + frame.minimum(self._counts[notes, None] - 1)
        frames, cycles = self._frames[frame], self._cycles[frame][..., None]
        # A phase has no beginning. Whole cycles are left out, so that it keeps its digits.
        cycles = interpolated(cycles - cycles[:, :1].floor(), signal.hop, samples, starts % signal.hop)[..., 0]
        voice = model.voices[self._voices[notes]]
        previous = classes[:, :-1]
        if training:
            voice = voice + VOICE_NOISE * torch.randn_like(voice)
            frames = frames.clone()
            frames[:, :, 1] += LEVEL_NOISE * torch.randn(len(notes), 1, device=self._device)
            previous = self._noisy(previous)
        conditions = model.conditions(frames, cycles, voice, starts % signal.hop)
        return Batch(classes[:, 1:], previous, conditions, at[:, 1:] < self._lengths[notes, None])

    def _noisy(self, classes: Tensor) -> Tensor:
        """Return classes with noise, of another level in every window.

        In generation, a network reads its own samples. Their errors are small, but they last. Trained with noise, it
        returns from errors instead of following them.
        """
        signal = self._signal
        low, high = math.log(LEAST_NOISE), math.log(MOST_NOISE)
        level = torch.exp(low + (high - low) * torch.rand(len(classes), 1, device=self._device))
        level = level * (torch.rand(len(classes), 1, device=self._device) >= CLEAN)
        x = self._law[classes] + level * torch.randn(classes.shape, device=self._device)
        x = (x / signal.peak).clamp(-1, 1)
        law = x.sign() * torch.log1p(signal.mu * x.abs()) / math.log1p(signal.mu)
        return signal.zero + torch.round((signal.zero - 1) * law).long()
