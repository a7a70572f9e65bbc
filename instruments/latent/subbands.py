"""Cut envelopes of narrow bands out of a signal, and put them back, by one long Fourier transform.

A band's envelope is the signal shifted to 0 Hz, seen through a Hann window, at one value per hop. Multiplying the bins
around the band's centre by the window's response and transforming them back gives all its values at once. That costs
microseconds a band, where filtering in time would cost milliseconds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Doubles

RATE = 48000
HOP = 120
"""Samples of a frame: 2.5 ms."""
_PADDING_SECONDS = 0.25
"""Silence after the signal, so that its end does not wrap into its start."""

ComplexArray = NDArray[np.complex128]


class Subbands:
    """Transforms of signals of one length, and the frames that their envelopes are measured at.

    Attributes:
        samples: length of the signals.
        frames: number of frames that cover the signal; frame `i` is at sample ``i * HOP``.
        size: samples of the long transform, with silence after the signal.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.frames = -(-samples // HOP) + 1
        self._span = 2 * fast_size(-(-(self.frames + round(_PADDING_SECONDS * RATE / HOP)) // 2))
        self.size = self._span * HOP
        self._offsets = np.arange(self._span) - self._span // 2
        # Without soft edges, an onset would ring through the whole note.
        self._soft = soft_edges(self._span, self._span // 4)

    @property
    def bin_hz(self) -> float:
        """Return the distance of two bins of the long transform, in Hz."""
        return RATE / self.size

    def spectrum(self, signal: Doubles) -> ComplexArray:
        """Return the bins of a signal, (bins,)."""
        return np.asarray(np.fft.rfft(signal, self.size))

    def signal(self, spectrum: ComplexArray) -> Doubles:
        """Return the signal of a spectrum, (samples,)."""
        return np.asarray(np.fft.irfft(spectrum, self.size)[: self.samples])

    def frequencies(self) -> Doubles:
        """Return the frequency of every bin in Hz, (bins,)."""
        return np.asarray(np.arange(self.size // 2 + 1) * self.bin_hz, np.float64)

    def centres(self, frequencies: Doubles) -> NDArray[np.int64]:
        """Return the bins nearest to frequencies in Hz."""
        return np.asarray(np.rint(np.asarray(frequencies) / self.bin_hz), np.int64)

    def envelopes(self, spectrum: ComplexArray, centres: NDArray[np.int64], window_seconds: float) -> ComplexArray:
        """Return the envelopes of bands through a Hann window, (bands, frames). A sinusoid gives its amplitude.

        Args:
            spectrum: of the signal, (bins,).
            centres: bin of each band's centre, (bands,).
            window_seconds: length of the window.
        """
        index = centres[:, None] + self._offsets
        inside = (index > 0) & (index < len(spectrum))
        response = hann_response(np.asarray(self._offsets * self.bin_hz, np.float64), window_seconds)
        part = np.where(inside, spectrum[np.clip(index, 0, len(spectrum) - 1)], 0) * response
        part *= 2 / HOP
        return np.asarray(np.fft.ifft(np.fft.ifftshift(part, axes=1), axis=1)[:, : self.frames])

    def add(self, spectrum: ComplexArray, envelope: ComplexArray, centre: int) -> None:
        """Add a band with this envelope to a spectrum, in place.

        Args:
            spectrum: (bins,).
            envelope: (frames,).
            centre: bin of the band's centre.
        """
        part = np.fft.fftshift(np.fft.fft(envelope, self._span)) * self._soft * (HOP / 2)
        low = centre - self._span // 2
        first, last = max(low, 1), min(low + self._span, len(spectrum))
        spectrum[first:last] += part[first - low : last - low]

    def inside(self, window_seconds: float) -> Doubles:
        """Return how much of a window centred at each frame lies inside the signal, 0.5 to 1, (frames,)."""
        times = np.arange(self.frames) * HOP / RATE
        length = self.samples / RATE
        return hann_integral(length - times, window_seconds) - hann_integral(-times, window_seconds)


def hann_response(frequencies: Doubles, seconds: float) -> Doubles:
    """Return the Fourier transform of a Hann window with unit area, which is real.

    Args:
        frequencies: in Hz.
        seconds: length of the window.
    """
    x = frequencies * seconds
    denominator = 1 - x**2
    near = np.abs(denominator) < 1e-9
    return np.where(near, 0.5, np.sinc(x) / np.where(near, 1, denominator))


def hann_integral(times: Doubles, seconds: float) -> Doubles:
    """Return the area of a centred Hann window with unit area up to some times.

    Args:
        times: in seconds.
        seconds: length of the window.
    """
    u = np.clip(times / seconds, -0.5, 0.5)
    return np.asarray(u + 0.5 + np.sin(2 * np.pi * u) / (2 * np.pi))


def soft_edges(count: int, width: int) -> Doubles:
    """Return a window that is 1 in the middle and falls smoothly to 0 within `width` values of both ends, (count,)."""
    distance = np.minimum(np.arange(count) + 0.5, count - 0.5 - np.arange(count))
    position = np.clip(distance / max(width, 1), 0, 1)
    return np.asarray(np.sin(np.pi / 2 * np.sin(np.pi / 2 * position) ** 2))


@lru_cache(maxsize=4096)
def fast_size(count: int) -> int:
    """Return the next number with no prime factor above 5. Transforms of such sizes are fast."""
    while True:
        rest = count
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return count
        count += 1
