"""Measure and play noise in bands.

The bands are about half an ERB apart, and at least 80 Hz above the bass. Their weights are power-complementary: white
noise of level 1 in every band has a flat spectrum.
"""

from __future__ import annotations

import numpy as np

from instruments.latent.subbands import HOP, RATE, ComplexArray, Subbands, fast_size, soft_edges
from neural_fx.arrays import Doubles

_LOW_CENTRES = (35.0, 60.0, 85.0, 120.0, 170.0, 240.0)
"""The lowest bands are narrow, so that rumble does not fill the bass."""
_NARROWEST_HZ = 80.0
_RAMP_SECONDS = 0.04
_ERB_SHARE = 0.6
_LOWEST_HZ = 15.0
_HIGHEST_HZ = 21500.0


def band_centres() -> Doubles:
    """Return the centres of the noise bands in Hz, (bands,), from 0 Hz up."""
    centres = list(_LOW_CENTRES)
    while centres[-1] < _HIGHEST_HZ:
        erb = 24.7 * (4.37e-3 * centres[-1] + 1)
        centres.append(centres[-1] + max(_NARROWEST_HZ, _ERB_SHARE * erb))
    return np.array(centres)


CENTRES = band_centres()
BANDS = len(CENTRES)


class BandTransforms:
    """Band signals of signals of one length: which bins each band takes, with which weights."""

    def __init__(self, subbands: Subbands) -> None:
        self.subbands = subbands
        self._frequencies = subbands.frequencies()
        self.bins: list[slice] = []
        self.weights: list[Doubles] = []
        for i in range(BANDS):
            low = CENTRES[i - 1] if i else _LOWEST_HZ
            high = CENTRES[i + 1] if i + 1 < BANDS else CENTRES[i] + (CENTRES[i] - CENTRES[i - 1])
            first, last = np.searchsorted(self._frequencies, [low, high])
            f = self._frequencies[first:last]
            position = (f - CENTRES[i]) / np.where(f < CENTRES[i], CENTRES[i] - low, high - CENTRES[i])
            self.bins.append(slice(int(first), int(last)))
            # Smooth at both ends: a kink would ring for half a second, 70 dB below a loud onset.
            self.weights.append(np.cos(np.pi / 2 * np.sin(np.pi / 2 * position) ** 2))

    def powers(self, spectrum: ComplexArray) -> list[Doubles]:
        """Return the momentary power density of every band at its own rate, a list of (values,)."""
        found = []
        for bins, weights in zip(self.bins, self.weights):
            part = spectrum[bins] * weights
            size = fast_size(2 * len(part))
            envelope = np.fft.ifft(part, size) * (size / self.subbands.size)
            # The mean square of a real band is half the analytic envelope's square; bandwidth makes it a density.
            width = float((weights**2).sum()) * self.subbands.bin_hz
            found.append(2 * np.abs(envelope) ** 2 / width)
        return found

    def levels(self, spectrum: ComplexArray, smoothing_seconds: Doubles) -> Doubles:
        """Return amplitude densities of a spectrum's bands, smoothed in time, (frames, BANDS).

        Args:
            spectrum: of the signal, (bins,).
            smoothing_seconds: length of the window around each frame, (frames,).
        """
        frames = self.subbands.frames
        levels = np.zeros((frames, BANDS))
        for i, power in enumerate(self.powers(spectrum)):
            levels[:, i] = smoothed_at_frames(
                power, self.subbands.size, frames, smoothing_seconds, self.subbands.samples
            )
        return np.sqrt(levels)

    def play(self, levels: Doubles, seed: int = 0) -> Doubles:
        """Return noise with these levels, (samples,).

        Args:
            levels: amplitude densities, (frames, BANDS).
            seed: of the random phases.
        """
        rng = np.random.default_rng(seed)
        total = np.zeros(len(self._frequencies), np.complex128)
        # The transform is circular. Ramps around the note keep its ends from being jumps, which would ring.
        ramp = round(_RAMP_SECONDS * RATE)
        last = (len(levels) - 1) * HOP
        positions = np.concatenate(
            (np.arange(len(levels)) * HOP, [last + ramp, self.subbands.size - ramp, self.subbands.size])
        )
        silence = np.zeros((2, BANDS))
        extended = np.concatenate((levels, silence, levels[:1]))
        for i, (bins, weights) in enumerate(zip(self.bins, self.weights)):
            count = len(weights)
            random = rng.standard_normal((2, count))
            if not levels[:, i].any():
                continue
            size = fast_size(2 * count)
            # The band lies in the middle of its bins, with room for the sidebands of a gain that changes fast.
            margin = (size - count) // 2
            noise = np.zeros(size, np.complex128)
            noise[margin : margin + count] = (random[0] + 1j * random[1]) * weights
            gain = np.interp(np.arange(size) * (self.subbands.size / size), positions, extended[:, i])
            part = np.fft.fft(np.fft.ifft(noise) * gain) * soft_edges(size, margin)
            first = bins.start - margin
            low, high = max(first, 1), min(first + size, len(total))
            # One-sided density D over bins of width b: E|X|^2 = D b size^2 / 2; the two normals have a variance of 2.
            total[low:high] += part[low - first : high - first] * np.sqrt(self.subbands.bin_hz) * self.subbands.size / 2
        return self.subbands.signal(total)


def smoothed_at_frames(power: Doubles, size: int, frames: int, smoothing_seconds: Doubles, samples: int) -> Doubles:
    """Return the mean of a power curve around each frame, over the part of the window inside the signal.

    The window is two rectangles, one half as long as the other, because their means cost two look-ups each.

    Args:
        power: equally spaced over the long transform.
        size: samples of the long transform.
        frames: number of frames.
        smoothing_seconds: full length of the window at each frame.
        samples: length of the signal.
    """
    step = size / len(power)
    total = np.concatenate(([0.0], np.cumsum(power) * step))
    edges = np.arange(len(total)) * step - step / 2

    def mean(half: Doubles) -> Doubles:
        centre = np.arange(frames) * float(HOP)
        low = np.clip(centre - half, 0, samples)
        high = np.clip(centre + half, 0, samples)
        # Windows shorter than the curve's own step would read noise between two values.
        wide = np.maximum(high - low, step)
        return np.asarray((np.interp(low + wide, edges, total) - np.interp(low, edges, total)) / wide)

    half = smoothing_seconds * RATE / 2
    return np.maximum(0.5 * (mean(half) + mean(half / 2)), 0)
