"""A dry and a wet recording of the same performance, checked, aligned and cut into training windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.audio import read_audio, resample
from neural_fx.errors import AudioError, TrainingError

Audio = NDArray[np.float32]

SHORTEST = 5.0
"""Seconds of usable signal below which there is nothing to learn from."""


@dataclass(frozen=True)
class Mask:
    """Samples to leave out of every loss: the first `skip` seconds of each `period` seconds."""

    period: float
    skip: float

    @classmethod
    def parse(cls, text: str) -> Mask:
        """From ``SKIP/PERIOD`` in seconds, such as ``0.3/0.5``.

        Raises:
            TrainingError: not of that form.
        """
        try:
            skip, period = (float(part) for part in text.split("/"))
        except ValueError:
            raise TrainingError(f"mask {text!r}: expected SKIP/PERIOD in seconds, such as 0.3/0.5") from None
        if not 0 <= skip < period:
            raise TrainingError(f"mask {text!r}: SKIP must be at least 0 and less than PERIOD")
        return cls(period, skip)


@dataclass(frozen=True)
class Pair:
    """Aligned recordings at one sample rate.

    Attributes:
        dry, wet: (samples,) each, equal lengths.
        usable: (samples,) booleans; False where the target must not be learned.
        latency: samples by which the wet recording was moved.
        knobs: rotations 0..1 of the device's knobs while it was recorded, in the order of the network's.
    """

    dry: Audio
    wet: Audio
    usable: NDArray[np.bool_]
    sample_rate: int
    latency: int = 0
    knobs: tuple[float, ...] = ()

    def split(self, validation: float = 0.1) -> tuple[Pair, Pair]:
        """The first part to train on and the last to validate with."""
        cut = int(len(self.dry) * (1 - validation))
        return self._part(slice(0, cut)), self._part(slice(cut, None))

    def _part(self, where: slice) -> Pair:
        return replace(self, dry=self.dry[where], wet=self.wet[where], usable=self.usable[where])

    def starts(self, length: int, context: int) -> NDArray[np.int64]:
        """Where a window of `length` outputs can begin: all usable, `context` samples of input before it.

        Returns:
            (stretches, 2): first start and the start after the last of each stretch.
        """
        edges = np.flatnonzero(np.diff(np.concatenate(([False], self.usable, [False])))).reshape(-1, 2)
        stretches = np.stack((np.maximum(edges[:, 0], context), edges[:, 1] - length + 1), 1)
        return stretches[stretches[:, 1] > stretches[:, 0]]


def load_pair(
    dry: str | Path, wet: str | Path, sample_rate: int = 48000, mask: Mask | None = None, latency: int | None = None
) -> Pair:
    """Read a pair and make it fit to train on.

    Args:
        dry, wet: audio files of the same performance; the first channel of each is used.
        sample_rate: Hz of the model; both files are converted to it.
        mask: what to leave out of the loss.
        latency: samples (at `sample_rate`) by which the wet file is late; None: estimated.

    Raises:
        TrainingError: different lengths or rates, silence, or too little signal; says what to do.
        AudioError: a file cannot be read.
    """
    signals, rates = [], []
    for path in (dry, wet):
        audio, rate = read_audio(path)
        signals.append(audio[0])
        rates.append(rate)
    if rates[0] != rates[1]:
        raise TrainingError(f"{dry} is at {rates[0]} Hz and {wet} at {rates[1]} Hz; record both at one rate")
    lengths = [len(s) / rates[0] for s in signals]
    if abs(lengths[0] - lengths[1]) > 1:
        raise TrainingError(f"{dry} lasts {lengths[0]:.1f} s and {wet} {lengths[1]:.1f} s; cut both to one length")
    for path, signal in zip((dry, wet), signals, strict=True):
        if not np.isfinite(signal).all():
            raise AudioError(f"{path}: contains NaN or infinite samples")
        if np.sqrt(np.mean(signal**2, dtype=np.float64)) < 1e-4:
            raise TrainingError(f"{path} is silent (below -80 dBFS RMS); check the recording")
    x, y = (resample(s[None], rates[0], sample_rate)[0] for s in signals)
    delay = estimate_latency(x, y) if latency is None else latency
    if delay > sample_rate or delay < -64:
        raise TrainingError(
            f"the wet recording is {delay} samples after the dry one; are the files swapped or mixed up?"
        )
    y = y[max(delay, 0) :]
    n = min(len(x), len(y))
    times = np.arange(n) / sample_rate
    usable = np.ones(n, bool) if mask is None else (times + 1e-9) % mask.period >= mask.skip
    if usable.sum() < SHORTEST * sample_rate:
        raise TrainingError(f"only {usable.sum() / sample_rate:.1f} s of usable signal; at least {SHORTEST:g} s needed")
    return Pair(x[:n], y[:n], usable, sample_rate, delay)


def estimate_latency(dry: Audio, wet: Audio) -> int:
    """Samples by which `wet` is late; 0 if that is under 4 or not clear. Polarity does not matter.

    The peak of the cross-correlation finds the place; the onset of the impulse response there, less two samples
    for safety, the number: a pedal's own phase moves the peak, and a target moved too early cannot be learned.
    """
    n = min(len(dry), len(wet), 60 * 48000)
    x, y = (np.diff(s[:n].astype(np.float64), prepend=0) for s in (dry, wet))
    size = 1 << (2 * n - 1).bit_length()
    correlation = np.abs(np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size)))
    peak = int(correlation.argmax())
    if correlation[peak] < 0.1 * np.sqrt((x @ x) * (y @ y)):
        return 0
    peak = peak - size if peak > size // 2 else peak
    early = peak - _SEARCH
    response = _response(x[max(0, -early) :], y[max(0, early) :])
    onset = early + int(np.argmax(response > 0.2 * response.max())) - 2
    return onset if abs(onset) >= 4 else 0


_SEARCH = 64


def _response(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude of the linear response from x to y over the first samples, from averaged cross-spectra."""
    size = 8192
    cross, power = np.zeros(size // 2 + 1, np.complex128), np.zeros(size // 2 + 1)
    window = np.hanning(size)
    for start in range(0, min(len(x), len(y)) - size, size // 2):
        a, b = (np.fft.rfft(s[start : start + size] * window) for s in (x, y))
        cross, power = cross + np.conj(a) * b, power + np.abs(a) ** 2
    return np.abs(np.fft.irfft(cross / (power + 1e-3 * np.mean(power))))[: 4 * _SEARCH]
