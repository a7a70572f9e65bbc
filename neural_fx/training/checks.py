"""Check a pair of recordings before training on them, and describe their problems."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neural_fx.arrays import Audio
from neural_fx.errors import TrainingError

LOWEST_RATE = 32000
"""Lowest sample rate in Hz of a recording. Below it, frequencies that a capture needs are lost."""
OFFSET = 1e-3
"""Constant offset from which a recording gets a warning (-60 dBFS)."""
LIKE = 0.15
"""Normalised correlation below which two recordings may not be of the same performance.

A DS-1 with everything turned up reaches 0.08 with its own input. Two different songs in one key can reach 0.3.
"""


def refuse(path: str | Path, signal: Audio, rate: int) -> None:
    """Raise an error if nothing can be learned from a recording.

    Args:
        path: its file, for the message.
        signal: (samples,).
        rate: its sample rate in Hz.

    Raises:
        TrainingError: the recording has NaN or infinite samples, is silent, or its sample rate is too low. The message
            says what to do.
    """
    if rate < LOWEST_RATE:
        raise TrainingError(
            f"{path} is at {rate} Hz; record at 44100 or 48000 Hz, because everything above {rate // 2} Hz is lost"
        )
    if not np.isfinite(signal).all():
        raise TrainingError(f"{path}: contains NaN or infinite samples")
    if _level(signal) < 1e-4:
        raise TrainingError(f"{path} is silent (below -80 dBFS RMS); check the recording")


def level_remarks(name: str, signal: Audio) -> list[str]:
    """Return warnings about clipping and offset of one recording, each a sentence.

    Call this before converting the sample rate, which rounds off clipped peaks.

    Args:
        name: name of the recording, ``dry`` or ``wet``.
        signal: (samples,) at the file's own sample rate.
    """
    found = []
    clipped = clipped_share(signal)
    if clipped > 1e-5:
        found.append(
            f"the {name} recording clips ({100 * clipped:.2g} % of its samples are at the limit); lower the "
            "interface's gain and record again, otherwise the capture learns the clipping of your interface"
        )
    offset = float(np.mean(signal, dtype=np.float64))
    if abs(offset) > OFFSET and abs(offset) > 0.1 * _level(signal):
        found.append(
            f"the {name} recording has a constant offset of {offset:.3g}; remove it with a high-pass at 5 Hz, "
            "otherwise the capture learns it"
        )
    return found


def remarks(dry: Audio, wet: Audio, rate: int) -> list[str]:
    """Return warnings about an aligned pair, each a sentence.

    Checks bandwidth, noise, compression, and whether the wet recording repeats where the dry one does.

    Args:
        dry, wet: (samples,) each.
        rate: their sample rate in Hz.
    """
    found = []
    for name, signal in (("dry", dry), ("wet", wet)):
        top = bandwidth(signal, rate)
        if top < 0.3 * rate:
            found.append(
                f"the {name} recording has nothing above {top / 1000:.1f} kHz, as an MP3 or a recording at a lower "
                "rate; the capture will sound dull"
            )
    noise = noise_floor(dry, wet, rate)
    signal_power = _level(wet) ** 2
    if noise is not None and noise**2 > 1e-4 * signal_power:
        found.append(
            f"the wet recording's noise is {_db(noise / _level(wet)):.0f} dB below its level; no capture of it can "
            f"have an ESR below {100 * noise**2 / signal_power:.2g} %"
        )
    if crest(dry) < 0.5 * crest(wet):
        found.append("the dry recording is more compressed than the wet one; check that the files are not swapped")
    repeated = replicate_esr(dry, wet, rate)
    if repeated is not None and repeated > 0.01:
        found.append(
            f"where the dry recording repeats itself, the wet one differs by an ESR of {100 * repeated:.2g} %: "
            "something in the device or the recording changes with time"
        )
    return found


def clipped_share(signal: Audio) -> float:
    """Return the share of samples that are clipped: in runs of three or more at the highest or lowest value.

    A limit only counts from half of full scale on. The upper and lower limits are found separately, because an offset
    or an asymmetric stage moves them apart.
    """
    share = 0.0
    for side in (signal, -signal):
        top = float(side.max(initial=0))
        if top < 0.5:
            continue
        flat = side > top * (1 - 1e-4)
        runs = flat[:-2] & flat[1:-1] & flat[2:]
        if len(runs):
            share += float(np.mean(runs))
    return share


def bandwidth(signal: Audio, rate: int) -> float:
    """Return the upper limit of a recording's spectrum in Hz.

    It is where the spectrum falls by 20 dB within 500 Hz and does not rise again, or else half the sample rate.

    Args:
        signal: (samples,).
        rate: its sample rate in Hz.
    """
    size = 4096
    if len(signal) < size:
        return rate / 2
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2, 0)
    level = np.convolve(10 * np.log10(power + 1e-12 * power.max()), np.ones(9) / 9, "valid")
    beyond = np.maximum.accumulate(level[::-1])[::-1]
    step = round(500 * size / rate)
    cliffs = np.flatnonzero(level[:-step] - beyond[step:] > 20)
    first = np.flatnonzero(cliffs * rate / size > 1000)
    return float((cliffs[first[0]] + step + 4) * rate / size) if len(first) else rate / 2


def noise_floor(dry: Audio, wet: Audio, rate: int) -> float | None:
    """Return the RMS of the wet recording's noise, measured where the dry one is silent.

    A 50 ms frame is silent if it is 60 dB below the dry recording's level. The RMS is about the mean of all such
    frames, so that a constant offset does not count as noise.

    Args:
        dry, wet: (samples,) each.
        rate: their sample rate in Hz.

    Returns:
        The RMS, full scale = 1; None if the dry recording is never silent.
    """
    size = rate // 20
    count = min(len(dry), len(wet)) // size
    played = dry[: count * size].reshape(count, size)
    heard = wet[: count * size].reshape(count, size)
    still = np.std(played, 1, dtype=np.float64) < 1e-3 * _level(dry)
    after = np.flatnonzero(still[1:] & still[:-1]) + 1  # the first frame of a rest still rings
    return _level(heard[after]) if len(after) >= 3 else None


def crest(signal: Audio) -> float:
    """Return the ratio of peak to RMS, both about the mean."""
    centre = float(np.mean(signal, dtype=np.float64))
    return float(np.abs(signal - centre).max(initial=0)) / max(_level(signal), 1e-12)


def replicate_esr(dry: Audio, wet: Audio, rate: int) -> float | None:
    """Return the ESR between two places of the wet recording at which the dry one has the same samples.

    Args:
        dry, wet: (samples,) each.
        rate: their sample rate in Hz.

    Returns:
        The ESR as a fraction; None if the dry recording does not repeat itself.
    """
    length = rate // 2
    if len(dry) < 4 * length:
        return None
    size = 1 << (len(dry) + length - 1).bit_length()
    spectrum = np.fft.rfft(dry.astype(np.float64), size)
    energy = np.concatenate(([0.0], np.cumsum(np.square(dry, dtype=np.float64))))
    for start in np.linspace(0, len(dry) - length, 8).astype(int):
        part = dry[start : start + length].astype(np.float64)
        own = part @ part
        if own < 1e-6 * length:
            continue
        match = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, size)), size)[: len(dry) - length + 1]
        distance = energy[length:] - energy[:-length] + own - 2 * match
        distance[max(0, start - length) : start + length] = np.inf
        other = int(distance.argmin())
        if distance[other] < 1e-5 * own:
            skip = length // 4  # what came before differs
            first, second = (wet[at + skip : at + length].astype(np.float64) for at in (start, other))
            return float(np.sum((first - second) ** 2) / max(float(first @ first), 1e-12))
    return None


def _level(signal: Audio) -> float:
    """Return the RMS about the mean, so that a constant offset does not count as signal."""
    return float(np.std(signal, dtype=np.float64))


def _db(ratio: float) -> float:
    return float(-20 * np.log10(max(ratio, 1e-12)))
