"""Estimate by how many samples a wet recording is late, through clean and through heavily distorting devices.

Plain cross-correlation fails here. A device's filters move its peak, and the harmonics that a distortion adds move it
further, by tens of samples. Three steps replace it:

1. **Whitened cross-correlation.** Linear prediction turns each recording into its innovation: the part that its past
   does not explain. No device can know the innovation of the dry recording in advance. So its correlation with the wet
   recording is zero before the true latency, and rises there. This is generalised cross-correlation (Knapp and Carter,
   "The generalized correlation method for estimation of time delay", 1976) with causal whitening filters. The
   zero-phase filters of the phase transform would smear the onset to both sides.
2. **Memoryless devices.** If one curve maps dry to wet samples at some lag, and neighbouring samples explain nothing
   more, that lag is exact. The curve is fitted piecewise linearly, so it covers any clipping and both polarities.
3. **All other devices.** The start of the response is measured in two ways; see `neural_fx.training.onset`.

The onset is where the response starts to rise. For a low-pass or a cabinet, that is where it first reaches about a
tenth of its peak. An estimate is only trusted if both halves of the recording agree on the lag.

The estimate is exact for clipping without memory. It is within a sample for a TubeScreamer, a DS-1, low-passes and
cabinets. The filters of a Big Muff hide its first samples, so there it can be a few samples off.
`tests/neural_fx/training/test_latency.py` measures all of these on ten guitars and basses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neural_fx.arrays import Audio, Doubles
from neural_fx.errors import TrainingError
from neural_fx.training.onset import find_onset, solve

ORDERS = (16, 24, 32, 48)
"""Orders of the linear predictions."""
LONGEST = 40.0
"""Seconds of playing to analyse. More takes longer and is not more accurate."""
FARTHEST = 1.0
"""Largest latency in seconds that is searched, early or late."""
CLEAR = 1.25
"""Smallest ratio of the correlation energy at the best lag to that at all others, for an estimate to be trusted.

Unrelated recordings can reach 13 because of a few clicks, but then their halves disagree.
"""
OBVIOUS = 25.0
"""The same ratio from which on the halves need not agree, because one of them may contain little playing."""
_WIDTH = 16
"""Samples over which the correlation's energy is summed to find the lag."""
_BEFORE = 24
"""Samples before the correlation's peak in which the onset is searched."""


@dataclass(frozen=True)
class Latency:
    """Estimated latency of a wet recording.

    Attributes:
        samples: by which the wet recording is late; negative if it is early.
        inverted: whether its polarity is inverted.
        clarity: energy of the correlation at this lag over the highest energy at any other lag.
        agree: whether both halves of the recording show the same lag.
        exact: False if the two estimates of the onset disagree by some samples.
    """

    samples: int
    inverted: bool
    clarity: float
    agree: bool
    exact: bool = True

    @property
    def clear(self) -> bool:
        """Whether the estimate can be trusted."""
        return (self.agree and self.clarity >= CLEAR) or self.clarity >= OBVIOUS


class UnclearLatencyError(TrainingError):
    """No lag stands out at which the wet recording follows the dry one."""


def estimate_latency(dry: Audio, wet: Audio, rate: int = 48000) -> int:
    """Return the number of samples by which `wet` is late; negative if it is early. Works for either polarity.

    Args:
        dry, wet: (samples,) each.
        rate: their sample rate in Hz.

    Raises:
        UnclearLatencyError: no lag stands out.
    """
    found = find_latency([(dry, wet)], rate)
    if not found.clear:
        raise UnclearLatencyError(
            "the latency is unclear: no place where the wet recording follows the dry one stands out. Check that both "
            "are of one performance, or give the samples by which the wet one is late with --latency N"
        )
    return found.samples


def find_latency(pairs: Sequence[tuple[Audio, Audio]], rate: int = 48000) -> Latency:
    """Estimate the latency that one or several pairs have in common, and how clear it is.

    Args:
        pairs: dry and wet recordings, (samples,) each.
        rate: their sample rate in Hz.

    Returns:
        The estimate; not clear if a recording is silent.
    """
    reach = round(FARTHEST * rate)
    signals = [_prepared(dry, wet, rate, reach) for dry, wet in pairs]
    heard = [(x, y) for x, y in signals if x.any() and y.any()]
    if not heard:
        return Latency(0, False, 0.0, False)
    correlations, energy = _energy(heard)
    place = int(energy.argmax())
    elsewhere = np.delete(energy, slice(max(0, place - rate // 20), place + rate // 20))
    clarity = float(energy[place]) / max(float(elsewhere.max(initial=0.0)), 1e-30)
    agree = all(abs(int(_energy(half)[1].argmax()) - place) <= 2 * _WIDTH for half in _halves(heard))
    near = slice(max(0, place - _WIDTH), place + _WIDTH)
    main = correlations[len(ORDERS) // 2]
    peak = near.start + int(np.abs(main[near]).argmax())
    found = {_memoryless(x, y, peak) for x, y in heard}
    lag = found.pop() if len(found) == 1 else None
    exact = True
    if lag is None:
        lag, exact = find_onset(heard, correlations, peak)
    return Latency(lag - reach, bool(main[peak] < 0), clarity, agree, exact)


def _energy(signals: list[tuple[Doubles, Doubles]]) -> tuple[Doubles, Doubles]:
    """Return the mean whitened correlation, (orders, lags), and its energy around each lag."""
    correlations = np.asarray(np.mean([_whitened(x, y) for x, y in signals], 0))
    return correlations, np.convolve(np.sum(np.square(correlations), 0), np.ones(_WIDTH), "same")


def _halves(signals: list[tuple[Doubles, Doubles]]) -> list[list[tuple[Doubles, Doubles]]]:
    """Split the signals into two halves that share no sample of the dry recordings."""
    if len(signals) > 1:
        return [signals[::2], signals[1::2]]
    x, y = signals[0]
    loudness = np.cumsum(np.abs(x))  # a recording may begin with silence
    middle = int(np.searchsorted(loudness, 0.5 * loudness[-1]))
    after = len(y) - len(x)
    first = (_faded(x[:middle]), _faded(y[: middle + after]))
    second = (_faded(x[middle:]), _faded(y[middle:]))  # a hard cut in both would look like a common attack
    return [[first], [second]]


def _prepared(dry: Audio, wet: Audio, rate: int, reach: int) -> tuple[Doubles, Doubles]:
    """Return the busiest part of the dry recording, and the wet one from `reach` samples before to after it."""
    played = busiest(dry, rate, LONGEST)
    x = _faded(_without_offset(dry[played]))
    y = _faded(_without_offset(wet))
    return x, _padded(y, played.start - reach, played.stop + reach)


def _faded(signal: Doubles) -> Doubles:
    """Fade a signal in and out, so that the cut at a file's start does not look like a common attack."""
    count = min(2048, len(signal) // 4)
    fade = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / max(count, 1))
    faded = signal.copy()
    faded[:count] *= fade
    faded[len(faded) - count :] *= fade[::-1]
    return faded


def busiest(signal: Audio, rate: int, seconds: float) -> slice:
    """Return the slice with the most playing, to leave out silence and hiss at either end.

    Args:
        signal: (samples,).
        rate: its sample rate in Hz.
        seconds: length of the slice. A shorter signal is taken whole.
    """
    frame = rate // 20
    count = len(signal) // frame
    if len(signal) <= seconds * rate or not count:
        return slice(0, len(signal))
    frames = signal[: count * frame].reshape(count, frame)
    levels = np.std(frames, 1, dtype=np.float64)
    loud = np.sort(levels)[-min(20, count)]  # a second of the loudest, so that a click does not decide
    active = np.concatenate(([0], np.cumsum(levels > 0.03 * loud)))
    span = round(seconds * 20)
    start = int((active[span:] - active[:-span]).argmax()) * frame
    return slice(start, start + span * frame)


def _without_offset(signal: Audio) -> Doubles:
    wide = signal.astype(np.float64)
    return np.asarray(wide - wide.mean())


def _padded(signal: Doubles, start: int, stop: int) -> Doubles:
    """Return signal[start:stop] with zeros outside of the signal."""
    before = np.zeros(max(0, -start))
    after = np.zeros(max(0, stop - max(len(signal), start)))
    return np.concatenate((before, signal[max(0, start) : max(0, stop)], after))[: stop - start]


def _whitened(x: Doubles, y: Doubles) -> Doubles:
    """Return the correlation of the innovations, (orders, lags); lag 0 is where x meets the start of y.

    Args:
        x: (samples,).
        y: (samples + 2 * reach,).
    """
    margin = 2 * max(ORDERS) + 2
    lags = len(y) - len(x) + 1
    size = _fast_length(len(x) + len(y) + 2 * margin)
    spectrum_x = np.fft.rfft(x, size)
    spectrum_y = np.fft.rfft(y, size)
    auto_x = np.fft.irfft(np.abs(spectrum_x) ** 2, size)
    auto_y = np.fft.irfft(np.abs(spectrum_y) ** 2, size)
    raw = np.fft.irfft(np.conj(spectrum_x) * spectrum_y, size)
    raw = np.concatenate((raw[-margin:], raw[: lags + margin]))
    rows = []
    for order in ORDERS:
        filter_x = _prediction_filter(auto_x, order)
        filter_y = _prediction_filter(auto_y, order)
        both = np.convolve(filter_x[::-1], filter_y)
        level = np.sqrt(_filtered_energy(auto_x, filter_x) * _filtered_energy(auto_y, filter_y))
        white = np.convolve(raw, both, "same") / max(level, 1e-300)
        rows.append(white[margin : margin + lags])
    return np.stack(rows)


def _prediction_filter(autocorrelation: Doubles, order: int) -> Doubles:
    """Return the filter that removes from a signal what its last `order` samples predict."""
    lags = autocorrelation[: order + 1].copy()
    lags[0] *= 1 + 1e-9  # -90 dB of white noise, so that the empty band of a resampled recording is not amplified
    matrix = lags[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
    return np.concatenate(([1.0], solve(matrix, -lags[1:])))


def _filtered_energy(autocorrelation: Doubles, coefficients: Doubles) -> float:
    weights = np.convolve(coefficients, coefficients[::-1])[len(coefficients) - 1 :]
    weights[1:] *= 2
    return max(float(weights @ autocorrelation[: len(weights)]), 0.0)


def _fast_length(minimum: int) -> int:
    """Return the next length for a fast FFT: a power of two, or three quarters or five eighths of one."""
    power = 1 << (minimum - 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= minimum)


def _memoryless(x: Doubles, y: Doubles, peak: int) -> int | None:
    """Return the lag at which a curve without memory maps x to y; None if the device has memory.

    Args:
        x: (samples,).
        y: (samples + 2 * reach,).
        peak: where the whitened correlation peaks; lag 0 is where x meets the start of y.
    """
    count = min(len(x), 120_000)
    begin = int(np.argmax(np.convolve(np.add.reduceat(x**2, np.arange(0, len(x), 4096)), np.ones(8), "valid"))) * 4096
    begin = min(begin, len(x) - count)
    part = x[begin : begin + count]
    curve = _hats(part)
    lags = np.arange(max(0, peak - _BEFORE), min(peak + _WIDTH, len(y) - len(x)) + 1)
    wet = np.stack([y[begin + lag : begin + lag + count] for lag in lags])
    wet = wet - wet.mean(1, keepdims=True)
    unexplained = _unexplained(curve, wet)
    best = int(unexplained.argmin())
    if unexplained[best] > 0.1:
        return None
    beside = np.stack([np.roll(part, step) for step in (-3, -2, -1, 1, 2, 3)])
    more = _unexplained(np.concatenate((curve, beside - beside.mean(1, keepdims=True))), wet[best : best + 1])
    return int(lags[best]) if more[0] > 0.9 * unexplained[best] else None


def _hats(signal: Doubles, count: int = 24) -> Doubles:
    """Return a basis of piecewise linear functions of a signal, (functions, samples), without their means."""
    knots = np.unique(np.quantile(signal, np.linspace(0.0005, 0.9995, count)))
    basis = np.stack([np.interp(signal, knots, row) for row in np.eye(len(knots))])
    return np.asarray(basis - basis.mean(1, keepdims=True))


def _unexplained(basis: Doubles, targets: Doubles) -> Doubles:
    """Return the share of each target's energy that no linear combination of the basis explains."""
    gram = basis @ basis.T
    gram += 1e-9 * float(np.trace(gram)) / len(gram) * np.eye(len(gram))
    products = basis @ targets.T
    explained = np.sum(products * solve(gram, products), 0)
    return np.asarray(1 - explained / np.maximum(np.sum(targets**2, 1), 1e-300))
