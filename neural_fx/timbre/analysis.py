"""Find the pitch and loudness of a performance, offline or live with a short look-ahead.

Frames are 4 ms apart (250 Hz) at 48 kHz. Frame k looks at the 2048 samples around sample 192 k.

Pitch candidates are the peaks of the normalised square difference function (McLeod and Wyvill 2005). Two methods choose
among them:

- live, a causal Viterbi search with a fading memory (after Mauch and Dixon, pYIN, 2014);
- offline, the estimate of swift-f0, which makes fewer octave errors than any short window.

Loudness is the A-weighted power (IEC 61672), as in DDSP (Engel et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from neural_fx.arrays import Numbers
from neural_fx.audio import resample
from neural_fx.engines import cpu
from neural_fx.errors import ParameterError
from neural_fx.layout import channels_first
from neural_fx.optional import is_installed, need
from neural_fx.values import positive_number, shown, suggestion

RATE = 48000
"""Sample rate in Hz at which timbres are analysed, trained and played."""
HOP = 192
"""Samples between frames."""
WINDOW = 2048
"""Samples that a frame looks at, half of them after its time."""
SILENCE_DB = -100.0
"""Lowest loudness."""
LOWEST_HZ, HIGHEST_HZ = 55.0, 2500.0
"""Range of pitches that are found."""
CONFIDENT = 0.8
"""Confidence above which a frame counts as pitched."""

METHODS = ("offline", "live")
"""Ways to choose among the candidates of a frame; see `analyze`."""

_TAPS = 31
_PITCH_WINDOW = 1008  # at half the rate: WINDOW less the samples that the filter needs, halved
_LAGS = int(RATE / 2 / LOWEST_HZ) + 4
_FIRST_LAG = int(RATE / 2 / HIGHEST_HZ)
_CANDIDATES = 6
_OCTAVE_BIAS = 0.08  # how much clearer a peak must be than the one an octave above
_JUMP, _JUMP_CAP, _MEMORY = 0.3, 0.5, 0.95
PITCH_SETTINGS = (
    _PITCH_WINDOW, HOP // 2, _FIRST_LAG, _LAGS, _CANDIDATES, RATE / 2, _OCTAVE_BIAS, _JUMP, _JUMP_CAP, _MEMORY,
)  # fmt: skip
"""What the compiled tracker takes."""


@dataclass(frozen=True)
class Analysis:
    """Pitch and loudness of a performance, 250 frames per second.

    Attributes:
        f0_hz: (frames,), the pitch in Hz, always positive. It keeps its last value where there is no pitch.
        confidence: (frames,), 0..1, of the pitch.
        loudness_db: (frames,), A-weighted, in dB. A full-scale sine of 1 kHz reads -3.
    """

    f0_hz: Numbers
    confidence: Numbers
    loudness_db: Numbers

    def __iter__(self) -> Any:
        return iter((self.f0_hz, self.confidence, self.loudness_db))

    @property
    def voiced(self) -> Numbers:
        """(frames,), whether each frame has a clear pitch."""
        return np.asarray(self.confidence >= CONFIDENT)


def a_weight(hz: Numbers) -> Numbers:
    """Return the A-weighting (IEC 61672) of frequencies in Hz as a power factor, which is 1 at 1 kHz."""
    s = np.square(np.asarray(hz, np.float64))
    gain = 12194.0**2 * s**2 / ((s + 20.6**2) * np.sqrt((s + 107.7**2) * (s + 737.9**2)) * (s + 12194.0**2))
    return np.asarray(np.square(gain * 1.2589254))


HANN = np.hanning(WINDOW + 1)[:-1]
POWER = a_weight(np.fft.rfftfreq(WINDOW, 1 / RATE)) * 2 / (WINDOW * np.sum(HANN**2))


def _lowpass() -> Numbers:
    # Up to 6 kHz. Then peaks between two lags keep their height, so that an octave above or below does not win.
    taps = np.sinc((np.arange(_TAPS) - _TAPS // 2) * 0.25) * np.hamming(_TAPS)
    return np.asarray(taps / taps.sum())


LOWPASS = _lowpass()


class Analyzer:
    """Analyses a stream. Each frame is complete 1024 samples after its time.

    The frames do not depend on the block sizes.
    """

    def __init__(self) -> None:
        self._past = np.zeros(WINDOW // 2)  # begins at the first sample of the next frame's window
        self._tracker = _CompiledTracker() if cpu.available() else _Tracker()

    def process(self, audio: Numbers) -> Analysis:
        """Add (samples,) at 48 kHz, and return the frames that are now complete."""
        f0, confidence, loudness, _ = self._frames(audio)
        return Analysis(f0, confidence, loudness)

    def _frames(self, audio: Numbers) -> tuple[Numbers, Numbers, Numbers, _Peaks]:
        # One NaN would silence a recurrent network for the rest of the stream.
        samples = np.concatenate((self._past, np.nan_to_num(audio, nan=0.0, posinf=0.0, neginf=0.0)))
        count = max(0, (len(samples) - WINDOW) // HOP + 1)
        self._past = samples[count * HOP :]
        if not count:
            nothing = np.zeros(0)
            return nothing, nothing, nothing, _Peaks(np.zeros((0, _CANDIDATES)), np.zeros((0, _CANDIDATES)))
        windows = sliding_window_view(samples, WINDOW)[: count * HOP : HOP]
        loudness = _loudness(windows)
        used = samples[: (count - 1) * HOP + WINDOW]
        half = np.convolve(used, LOWPASS, "valid")[::2]
        f0, confidence, peaks = self._tracker.process(half, count)
        return f0, np.where(loudness > SILENCE_DB + 15, confidence, 0.0), loudness, peaks


def analyze(audio: Numbers, sample_rate: float, method: str = "offline") -> Analysis:
    """Find the pitch, its confidence and the loudness of a recording, 250 frames per second.

    Args:
        audio: (samples,), (channels, samples) or (samples, channels), 32- or 64-bit floats. Channels are averaged.
        sample_rate: Hz. Other rates than 48 kHz are converted.
        method: ``offline``, where swift-f0 chooses among the candidates, or ``live``, as `TimbreTransfer` does.

    Returns:
        (1 + samples * 48000 / sample_rate // 192) frames. Frame k is at k * 4 ms.

    Raises:
        MissingPackageError: the method is offline, and swift-f0 is not installed.
        TypeError: the audio is not a numpy array of 32- or 64-bit floats.
        RuntimeError: it is not one- or two-dimensional, or it is square.
        ParameterError: the method is unknown, or the sample rate is not a positive number.
    """
    if method not in METHODS:
        hint = suggestion(str(method), METHODS)
        raise ParameterError(f"unknown method {shown(method)}{hint}; known: {', '.join(METHODS)}")
    channels = channels_first(audio)
    sample_rate = positive_number(sample_rate, "sample_rate")
    signal = channels.astype(np.float64).mean(0) if len(channels) else np.zeros(channels.shape[1])
    if sample_rate != RATE:
        signal = resample(signal[None].astype(np.float32), sample_rate, RATE)[0].astype(np.float64)
    frames = 1 + len(signal) // HOP
    padded = np.concatenate((signal, np.zeros(WINDOW)))
    analyzer, parts = Analyzer(), []
    for start in range(0, len(padded), 500 * HOP):
        parts.append(analyzer._frames(padded[start : start + 500 * HOP]))
    f0, confidence, loudness = (np.concatenate([part[i] for part in parts])[:frames] for i in range(3))
    if method == "offline":
        lags = np.concatenate([part[3].lags for part in parts])[:frames]
        clear = np.concatenate([part[3].clearness for part in parts])[:frames]
        f0, confidence = _corrected(signal, f0, confidence, _Peaks(lags, clear))
    return Analysis(f0, confidence, loudness)


def _loudness(windows: Numbers) -> Numbers:
    """Compute the loudness of windows: (frames, WINDOW) to (frames,) in dB."""
    spectra = np.fft.rfft(windows * HANN, axis=1)
    power = (spectra.real**2 + spectra.imag**2) @ POWER
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10))))


@dataclass(frozen=True)
class _Peaks:
    """Pitch candidates of each frame.

    Attributes:
        lags: (frames, candidates), periods in samples at half the rate; 0 for none.
        clearness: (frames, candidates), 0..1, the height of each peak.
    """

    lags: Numbers
    clearness: Numbers


def _peaks(windows: Numbers) -> _Peaks:
    """Find the clearest periods of windows, (frames, _PITCH_WINDOW) samples at half the rate."""
    x = windows - windows.mean(1, keepdims=True)
    size = 2048
    spectra = np.fft.rfft(x, size, axis=1)
    # r is the autocorrelation, m the energy of both parts that it compares, and n = 2 r / m the normalised square
    # difference function.
    r = np.fft.irfft(spectra.real**2 + spectra.imag**2, size, axis=1)[:, : _LAGS + 2]
    energy = np.cumsum(x**2, axis=1)
    lag = np.arange(1, _LAGS + 2)
    m = np.concatenate(
        (2 * energy[:, -1:], energy[:, _PITCH_WINDOW - 1 - lag] + energy[:, -1:] - energy[:, lag - 1]), 1
    )
    n = 2 * r / (m + 1e-9)
    here, before, after = n[:, _FIRST_LAG:-1], n[:, _FIRST_LAG - 1 : -2], n[:, _FIRST_LAG + 1 :]
    octaves = np.log2(np.arange(_FIRST_LAG, n.shape[1] - 1))
    score = np.where((here >= before) & (here > after) & (here > 0.2), here - _OCTAVE_BIAS * octaves, -9.0)
    best = np.argsort(-score, axis=1, kind="stable")[:, :_CANDIDATES]
    rows = np.arange(len(n))[:, None]
    found = score[rows, best] > -9.0
    rough = np.where(found, best + _FIRST_LAG, _FIRST_LAG)
    exact, clear = _summit(n, rows, rough)
    # A peak some periods later has the same error in samples, so a smaller error per period.
    times = np.clip((_LAGS - 2) // np.maximum(exact, 1), 1, 4).astype(int)
    far = np.clip(np.rint(exact * times).astype(int), 1, _LAGS - 1)
    around = np.stack([n[rows, np.clip(far + d, 1, _LAGS)] for d in (-1, 0, 1)])
    far = np.clip(far + around.argmax(0) - 1, 1, _LAGS - 1)
    distant, still = _summit(n, rows, far)
    usable = (still > 0.9 * clear) & (times > 1) & (np.abs(distant / times - exact) < 0.03 * exact)
    exact = np.where(usable, distant / np.maximum(times, 1), exact)
    return _Peaks(np.where(found, exact, 0.0), np.where(found, np.minimum(clear, 1.0), 0.0))


def _summit(n: Numbers, rows: Numbers, at: Numbers) -> tuple[Numbers, Numbers]:
    """Return position and height of the top of the parabola through the values around `at`."""
    a, b, c = n[rows, at - 1], n[rows, at], n[rows, at + 1]
    bend = a - 2 * b + c
    shift = np.clip(np.where(bend < 0, 0.5 * (a - c) / np.where(bend < 0, bend, 1.0), 0.0), -0.5, 0.5)
    return at + shift, b - 0.25 * (a - c) * shift


class _Tracker:
    """Follows the likeliest path through the candidates. It forgets, so that an error does not last."""

    def __init__(self) -> None:
        self.pitch = np.zeros(1)  # octaves of the last frame's candidates
        self.cost = np.zeros(1)
        self.held = float(np.log2(220.0))

    def process(self, half: Numbers, count: int) -> tuple[Numbers, Numbers, _Peaks]:
        """Track `count` frames.

        Args:
            half: samples at half the rate, enough for all windows.
            count: frames.

        Returns:
            f0 in Hz (count,), confidence (count,), and the candidates.
        """
        peaks = _peaks(sliding_window_view(half, _PITCH_WINDOW)[:: HOP // 2][:count])
        f0, confidence = np.empty(len(peaks.lags)), np.empty(len(peaks.lags))
        for k, (lags, clear) in enumerate(zip(peaks.lags, peaks.clearness, strict=True)):
            some = lags > 0
            if not some.any():
                self.cost = self.cost * _MEMORY
                f0[k], confidence[k] = 2**self.held, 0.0
                continue
            # One step of the Viterbi search: the cost of each candidate, and of the cheapest way to it.
            octaves = np.log2(RATE / 2 / lags[some])
            own = 1 - clear[some] + _OCTAVE_BIAS * (12 - octaves)
            jump = np.abs(octaves[:, None] - self.pitch[None])
            way = _MEMORY * self.cost[None] + _JUMP * np.minimum(jump, _JUMP_CAP)
            cost = own + way.min(1)
            self.pitch, self.cost = octaves, cost - cost.min()
            best = int(cost.argmin())
            confidence[k] = clear[some][best]
            if confidence[k] > 0.5:
                self.held = octaves[best]
            f0[k] = 2**self.held
        return f0, confidence, peaks


class _CompiledTracker:
    """The same as `_peaks` and `_Tracker`, in the compiled kernels."""

    def __init__(self) -> None:
        self._native = cpu.core.Tracker(*PITCH_SETTINGS)

    def process(self, half: Numbers, count: int) -> tuple[Numbers, Numbers, _Peaks]:
        f0, confidence = np.empty(count), np.empty(count)
        lags, clear = np.empty((count, _CANDIDATES)), np.empty((count, _CANDIDATES))
        self._native.process(np.ascontiguousarray(half, np.float32), f0, confidence, lags, clear)
        return f0, confidence, _Peaks(lags, clear)


def best_method() -> str:
    """Return the best method for `analyze`: ``offline`` if swift-f0 is installed, else ``live``."""
    return "offline" if is_installed("swift_f0") else "live"


def _corrected(signal: Numbers, f0: Numbers, confidence: Numbers, peaks: _Peaks) -> tuple[Numbers, Numbers]:
    """Correct pitch and confidence with swift-f0.

    Where swift-f0 is confident, take the candidate that is nearest to its estimate. If none is near, take the estimate.
    """
    swift_f0 = need("swift_f0", "offline analysis")
    coarse = resample(np.asarray(signal, np.float32)[None], RATE, 16000)[0]
    if len(coarse) < 1024:
        return f0, confidence
    detected = swift_f0.SwiftF0(threads=1, spin=False).detect(coarse, 16000)
    times = np.arange(len(f0)) * HOP / RATE
    nearest = np.abs(times[:, None] - _neighbours(times, detected.timestamps)).argmin(1)
    index = np.clip(np.searchsorted(detected.timestamps, times) - 1 + nearest, 0, len(detected.timestamps) - 1)
    pitch, sure = np.log2(np.maximum(detected.pitch_hz[index], 1.0)), detected.confidence[index]
    octaves = np.log2(RATE / 2 / np.where(peaks.lags > 0, peaks.lags, 1e-9))
    off = np.where(peaks.lags > 0, np.abs(octaves - pitch[:, None]), 99.0)
    near = off.argmin(1)
    rows = np.arange(len(f0))
    found = off[rows, near] < 0.06
    # A period that fits the waveform almost perfectly is right, because swift-f0 may confuse it with a strong overtone.
    perfect = (confidence > 0.95) & (np.where(found, peaks.clearness[rows, near], 0.0) < confidence - 0.05)
    trusted = (sure > CONFIDENT) & ~perfect
    better = np.where(found, octaves[rows, near], pitch)
    f0 = np.where(trusted, 2**better, f0)
    clear = np.where(found, peaks.clearness[rows, near], sure)
    agreed = np.where(trusted, np.maximum(clear, CONFIDENT * (sure > 0.9)), np.minimum(confidence, sure))
    return f0, np.where(perfect, confidence, agreed)


def _neighbours(times: Numbers, stamps: Numbers) -> Numbers:
    """Return (times, 2), the stamps before and after each time."""
    after = np.clip(np.searchsorted(stamps, times), 0, len(stamps) - 1)
    return np.asarray(np.stack((stamps[np.maximum(after - 1, 0)], stamps[after]), 1))
