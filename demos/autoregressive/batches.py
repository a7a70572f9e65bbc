"""Choose windows of packed notes, all on the device that trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demos.autoregressive.notes import Note
from neural_fx.networks.autoregressive.conditions import ONSET_SECONDS, RELEASE_SECONDS
from neural_fx.networks.autoregressive.layers import interpolated
from neural_fx.networks.autoregressive.model import Autoregressive
from neural_fx.networks.autoregressive.signal import Signal

FROM_START = 0.15
"""Share of the windows that begin where a note does, from silence, as in generation."""
CLEAN = 0.3
"""Share of the windows without noise in their past."""
LEAST_NOISE, MOST_NOISE = 0.004, 0.4
"""Range of the noise's level in the other windows. The samples have unit level."""
LEVEL_NOISE = 0.06
"""Noise of the level that the network is told, in units of 20 dB."""
VOICE_NOISE = 0.05
SEMITONES = 2.0
"""Most change of pitch. Most instruments have a note every two or three semitones, which together reach all pitches."""
UNCHANGED = 0.2
"""Share of the windows whose pitch is not changed. Only these have the noise of one quantisation, not of two."""
REACH = 8
"""Samples on each side from which a sample in between is interpolated."""


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
        semitones: most change of pitch in `choose`, up or down. Without it, a network learns the few pitches of the
            notes by heart and fails between them.
    """

    def __init__(self, notes: list[Note], signal: Signal, device: torch.device, semitones: float = SEMITONES) -> None:
        self._signal = signal
        self._semitones = semitones
        self._device = device
        lengths = np.array([len(n.classes) for n in notes])
        counts = np.array([len(n.hz) for n in notes])
        self._classes = torch.from_numpy(np.concatenate([n.classes for n in notes])).to(device)
        self._frames = torch.from_numpy(np.concatenate([n.frames(signal) for n in notes])).to(device)
        self._onsets = torch.tensor([n.onset for n in notes], device=device)
        self._releases = torch.tensor([n.release for n in notes], device=device)
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
        speeds = self._random_speeds(windows)
        room = (self._lengths[notes] - (samples * speeds).ceil().long()).clamp(min=0)
        starts = (torch.rand(windows, device=self._device) * (room + 1)).long().clamp(max=room)
        begins = torch.rand(windows, device=self._device) < FROM_START
        starts = torch.where(begins, 0, starts)
        batch = self.window(model, notes, starts, samples, training=True, speeds=speeds)
        late = torch.arange(samples, device=self._device) >= uncounted
        batch.counted = late | (starts == 0)[:, None]
        return batch

    def window(
        self,
        model: Autoregressive,
        notes: Tensor,
        starts: Tensor,
        samples: int,
        training: bool = False,
        speeds: Tensor | None = None,
    ) -> Batch:
        """Return given windows.

        Args:
            model: makes the conditions.
            notes: (windows,).
            starts: first samples, (windows,).
            samples: of each.
            training: whether there is noise in the past and in the conditions.
            speeds: at which the notes are read, (windows,), as a tape is. Pitch, phase and times follow. None for 1.
        """
        speeds = torch.ones(len(notes), device=self._device) if speeds is None else speeds
        at = self._places(starts, speeds, torch.arange(-1, samples, device=self._device))
        inside = (at >= 0) & (at < self._lengths[notes, None])
        classes = torch.where(inside, self._read(notes, at, speeds), self._signal.zero)
        frames, cycles = self._conditions(notes, starts, speeds, samples)
        voice = model.voices[self._voices[notes]]
        previous = classes[:, :-1]
        if training:
            voice = voice + VOICE_NOISE * torch.randn_like(voice)
            frames[:, :, 1] += LEVEL_NOISE * torch.randn(len(notes), 1, device=self._device)
            previous = self._noisy(previous)
        conditions = model.conditions(frames, cycles, voice, starts % self._signal.hop)
        return Batch(classes[:, 1:], previous, conditions, at[:, 1:] < self._lengths[notes, None])

    def _random_speeds(self, windows: int) -> Tensor:
        """Return speeds, (windows,). Some are 1."""
        octaves = (2 * torch.rand(windows, device=self._device) - 1) * self._semitones / 12
        return 2 ** (octaves * (torch.rand(windows, device=self._device) >= UNCHANGED))

    @staticmethod
    def _places(starts: Tensor, speeds: Tensor, samples: Tensor) -> Tensor:
        """Return where in its note each sample of a window is, (windows, samples), float64."""
        return starts[:, None].double() + speeds[:, None].double() * samples

    def _read(self, notes: Tensor, at: Tensor, speeds: Tensor) -> Tensor:
        """Return the classes at places between samples, (windows, samples), int64."""
        last = self._lengths[notes, None] - 1
        first = self._first[notes, None]
        base = at.floor().long()
        classes = self._classes[first + base.clamp(min=0).minimum(last)].long()
        changed = (speeds != 1).nonzero()[:, 0]
        base, last, first = base[changed], last[changed], first[changed]
        share = (at[changed] - base).float()
        total = torch.zeros_like(share)
        for tap in range(1 - REACH, REACH + 1):
            where = base + tap
            value = self._law[self._classes[first + where.clamp(min=0).minimum(last)].long()]
            distance = share - tap
            taper = torch.cos(math.pi / 2 * distance / REACH).square()
            total += torch.where((where >= 0) & (where <= last), value, 0.0) * torch.sinc(distance) * taper
        classes[changed] = self._encoded(total)
        return classes

    def _conditions(self, notes: Tensor, starts: Tensor, speeds: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Return the frames from the one before each start, (windows, frames, 4), and the phases of the samples."""
        hop, rate = self._signal.hop, self._signal.rate
        offset = starts % hop
        since = hop * torch.arange(samples // hop + 3, device=self._device) - offset[:, None]
        at = self._places(starts, speeds, since)
        frames = self._interpolated(self._frames, notes, at)
        frames[..., 0] += speeds.log2()[:, None]
        onset = ((at - self._onsets[notes, None]) / speeds[:, None] / rate).float()
        release = ((at - self._releases[notes, None]) / speeds[:, None] / rate).float()
        frames[..., 2] = torch.exp(-onset.clamp(min=0) / ONSET_SECONDS) * (onset >= 0)
        frames[..., 3] = 1 - torch.exp(-release.clamp(min=0) / RELEASE_SECONDS)
        cycles = self._interpolated(self._cycles[:, None], notes, at)
        # A phase has no beginning. Whole cycles are left out, so that it keeps its digits.
        return frames, interpolated(cycles - cycles[:, :1].floor(), hop, samples, offset)[..., 0]

    def _interpolated(self, rows: Tensor, notes: Tensor, at: Tensor) -> Tensor:
        """Return the rows of frames at places, (windows, places, numbers)."""
        last = self._counts[notes, None] - 1
        place = (at / self._signal.hop).clamp(min=0).minimum(last)
        base = place.floor().long()
        first = self._first_frame[notes, None]
        share = (place - base)[..., None].to(rows.dtype)
        return torch.lerp(rows[first + base], rows[first + (base + 1).minimum(last)], share)

    def _noisy(self, classes: Tensor) -> Tensor:
        """Return classes with noise, of another level in every window.

        In generation, a network reads its own samples. Their errors are small, but they last. Trained with noise, it
        returns from errors instead of following them.
        """
        low, high = math.log(LEAST_NOISE), math.log(MOST_NOISE)
        level = torch.exp(low + (high - low) * torch.rand(len(classes), 1, device=self._device))
        level = level * (torch.rand(len(classes), 1, device=self._device) >= CLEAN)
        return self._encoded(self._law[classes] + level * torch.randn(classes.shape, device=self._device))

    def _encoded(self, samples: Tensor) -> Tensor:
        """Return the classes of samples, as `Signal.encode` does."""
        signal = self._signal
        x = (samples / signal.peak).clamp(-1, 1)
        law = x.sign() * torch.log1p(signal.mu * x.abs()) / math.log1p(signal.mu)
        return signal.zero + torch.round((signal.zero - 1) * law).long()
