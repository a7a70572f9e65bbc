"""A dry and a wet recording of the same performance, checked, aligned and cut into training windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.audio import read_audio, resample
from neural_fx.errors import TrainingError
from neural_fx.training.checks import LIKE, refuse, remarks

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
    dry: str | Path,
    wet: str | Path,
    sample_rate: int = 48000,
    mask: Mask | None = None,
    latency: int | None = None,
    knobs: tuple[float, ...] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> Pair:
    """Read a pair and make it fit to train on.

    Args:
        dry, wet: audio files of the same performance; the first channel of each is used.
        sample_rate: Hz of the model; both files are converted to it.
        mask: what to leave out of the loss.
        latency: samples (at `sample_rate`) by which the wet file is late; None: estimated.
        knobs: where the device's knobs stood.
        say: told, in sentences, what was found and what is doubtful.

    Raises:
        TrainingError: different lengths or rates, another performance, silence, or too little signal; says what to do.
        AudioError: a file cannot be read.
    """
    signals, rates = [], []
    for path in (dry, wet):
        audio, rate = read_audio(path)
        refuse(path, audio[0], rate)
        signals.append(audio[0])
        rates.append(rate)
    if rates[0] != rates[1]:
        raise TrainingError(f"{dry} is at {rates[0]} Hz and {wet} at {rates[1]} Hz; record both at one rate")
    lengths = [len(s) / rates[0] for s in signals]
    if abs(lengths[0] - lengths[1]) > 1:
        raise TrainingError(f"{dry} lasts {lengths[0]:.1f} s and {wet} {lengths[1]:.1f} s; cut both to one length")
    x, y = (resample(s[None], rates[0], sample_rate)[0] for s in signals)
    if latency is None:
        y, latency = _aligned(x, y, sample_rate, dry, wet, say)
    y = y[max(latency, 0) :]
    n = min(len(x), len(y))
    times = np.arange(n) / sample_rate
    usable = np.ones(n, bool) if mask is None else (times + 1e-9) % mask.period >= mask.skip
    if usable.sum() < SHORTEST * sample_rate:
        raise TrainingError(f"only {usable.sum() / sample_rate:.1f} s of usable signal; at least {SHORTEST:g} s needed")
    for sentence in remarks(x[:n], y[:n], sample_rate):
        say(sentence)
    return Pair(x[:n], y[:n], usable, sample_rate, latency, knobs)


def _aligned(
    x: Audio, y: Audio, rate: int, dry: str | Path, wet: str | Path, say: Callable[[str], None]
) -> tuple[Audio, int]:
    """The wet recording, its clock corrected, and its latency."""
    found = align(x, y, rate)
    if found.correlation < LIKE and found.steady < 0.2:
        raise TrainingError(
            f"{dry} and {wet} have nothing in common (correlation {found.correlation:.3f}); are they recordings of the "
            "same performance? --latency N says where they meet if you know"
        )
    if found.latency > rate or found.latency < -64:
        raise TrainingError(
            f"the wet recording is {found.latency} samples after the dry one; are the files swapped or mixed up?"
        )
    if found.correlation < LIKE:
        say(f"the two have little in common (correlation {found.correlation:.2f}): is it the same performance?")
    if found.drift_ppm:
        say(
            f"the two recordings ran on different clocks ({found.drift_ppm:+.1f} parts per million); the wet one was "
            "resampled to fit. Record both on one interface if you can"
        )
        y = resample(y[None], rate * (1 + 1e-6 * found.drift_ppm), rate)[0]
        found = align(x, y, rate)
    if found.inverted:
        say("the device inverts polarity; the capture will, too")
    return y, found.latency


@dataclass(frozen=True)
class Alignment:
    """How a wet recording lies against its dry one.

    Attributes:
        latency: samples by which it is late.
        inverted: whether its polarity is the other way round.
        drift_ppm: by how much too long it is, parts per million; 0 if that is under 8 samples in all.
        correlation: normalised, at the best place; 0 to 1.
        steady: share of the pieces along the recording that lie where their neighbours do; near 0 for two recordings
            that have nothing to do with each other.
    """

    latency: int
    inverted: bool
    drift_ppm: float
    correlation: float
    steady: float


def align(dry: Audio, wet: Audio, rate: int) -> Alignment:
    """Latency, polarity and clock of a wet recording.

    The clock: from how the place of best correlation moves between pieces of half a second along the recording.
    """
    n, piece, margin = min(len(dry), len(wet)), rate // 2, 1024
    loudest = _loudest(dry[:n], 2 * rate)
    coarse, height, sign = _peak(dry[loudest], wet[loudest.start : loudest.stop + rate])
    places, starts, expected, tried, steady = [], [], 0.0, 0, 0
    for start in range(margin, n - piece - margin, rate):
        at = start + round(coarse + expected) - margin
        if at < 0 or at + piece + 2 * margin > len(wet):
            continue
        place, strength, _ = _peak(dry[start : start + piece], wet[at : at + piece + 2 * margin])
        place += at - start - coarse
        tried, steady = tried + 1, steady + (abs(place - expected) < 4)
        if strength > 0.5 * height and abs(place - expected) < margin:
            expected = place
            places.append(place)
            starts.append(start)
    drift = _slope(np.array(starts), np.array(places)) if len(places) >= 20 else 0.0
    if not 8 / n < abs(drift) < 0.005:
        drift = 0.0
    return Alignment(estimate_latency(dry, wet), sign < 0, 1e6 * drift, height, steady / max(tried, 1))


def _loudest(signal: Audio, length: int) -> slice:
    """The stretch of `length` samples with the most energy, on a grid of half its length."""
    starts = range(0, max(1, len(signal) - length + 1), max(1, length // 2))
    best = max(starts, key=lambda at: float(np.sum(np.square(signal[at : at + length], dtype=np.float64))))
    return slice(best, min(len(signal), best + length))


def _slope(starts: NDArray[np.int64], places: NDArray[np.float64]) -> float:
    """Of the line through most of the places; 0 if they do not lie on one."""
    kept = np.ones(len(places), bool)
    for _ in range(5):
        line = np.polyfit(starts[kept], places[kept], 1)
        distance = np.abs(np.polyval(line, starts) - places)
        kept = distance <= max(1.0, 2 * float(np.median(distance)))
    return float(line[0]) if kept.mean() > 0.5 and np.median(distance) < 2 else 0.0


def _peak(dry: Audio, wet: Audio) -> tuple[float, float, float]:
    """Place of the best correlation of the differenced signals in samples, its normalised height, and its sign."""
    x, y = (np.diff(s.astype(np.float64), prepend=s[0]) for s in (dry, wet))
    size = 1 << (len(x) + len(y) - 1).bit_length()
    correlation = np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size))
    peak = int(np.abs(correlation).argmax())
    around = np.abs(correlation[[peak - 1, peak, (peak + 1) % size]])
    bend = around[0] - 2 * around[1] + around[2]
    fine = 0.5 * (around[0] - around[2]) / bend if bend else 0.0
    height = float(around[1] / max(np.sqrt((x @ x) * (y @ y)), 1e-12))
    return (peak - size if peak > size // 2 else peak) + float(fine), height, float(np.sign(correlation[peak]))


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
