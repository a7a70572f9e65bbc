"""What a colleague would say of a pair of recordings before training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import TrainingError

Audio = NDArray[np.float32]

LOWEST_RATE = 32000
"""Hz below which a recording has lost what a capture needs."""
LIKE = 0.15
"""Normalised correlation under which it is doubtful that two recordings are of the same performance: a DS-1 with
everything turned up has 0.08 with its input, two songs in one key as much as 0.3."""


def refuse(path: str | Path, signal: Audio, rate: int) -> None:
    """Raise if nothing can be learned from a recording.

    Raises:
        TrainingError: NaN, silence, or a sample rate too low; says what to do.
    """
    if rate < LOWEST_RATE:
        raise TrainingError(
            f"{path} is at {rate} Hz; record at 44100 or 48000 Hz: what is above {rate // 2} Hz is lost"
        )
    if not np.isfinite(signal).all():
        raise TrainingError(f"{path}: contains NaN or infinite samples")
    if _rms(signal) < 1e-4:
        raise TrainingError(f"{path} is silent (below -80 dBFS RMS); check the recording")


def remarks(dry: Audio, wet: Audio, rate: int) -> list[str]:
    """Warnings about an aligned pair, each a sentence; none for a good one.

    Args:
        dry, wet: (samples,) each.
        rate: Hz.
    """
    found = []
    for name, signal in (("dry", dry), ("wet", wet)):
        clipped = clipped_share(signal)
        if clipped > 1e-5:
            found.append(
                f"the {name} recording clips ({100 * clipped:.2g} % of its samples stand at the ceiling); lower the "
                "interface's gain and record again, or the capture learns your interface"
            )
        top = bandwidth(signal, rate)
        if top < 0.3 * rate:
            found.append(
                f"the {name} recording has nothing above {top / 1000:.1f} kHz: was it an MP3, or recorded at a lower "
                "rate? The capture will sound dull"
            )
    noise, signal_power = noise_floor(dry, wet, rate), _rms(wet) ** 2
    if noise is not None and noise**2 > 1e-4 * signal_power:
        found.append(
            f"the wet recording's noise is {_db(noise / _rms(wet)):.0f} dB below its level; no capture of it can have "
            f"an ESR below {100 * noise**2 / signal_power:.2g} %"
        )
    if crest(dry) < 0.5 * crest(wet):
        found.append("the dry recording is more compressed than the wet one: are the files swapped?")
    repeated = replicate_esr(dry, wet, rate)
    if repeated is not None and repeated > 0.01:
        found.append(
            f"where the dry recording repeats itself, the wet one differs by an ESR of {100 * repeated:.2g} %: "
            "something in the device or the recording changes with time"
        )
    return found


def clipped_share(signal: Audio) -> float:
    """Share of samples in runs of three or more that stand at the signal's largest magnitude, if that is near 1."""
    top = float(np.abs(signal).max(initial=0))
    if top < 0.5:
        return 0.0
    flat = np.abs(signal) > top * (1 - 1e-4)
    runs = flat[:-2] & flat[1:-1] & flat[2:]
    return float(np.mean(runs)) if len(runs) else 0.0


def bandwidth(signal: Audio, rate: int) -> float:
    """Hz at which the spectrum falls off a cliff (20 dB within 500 Hz, nothing beyond); half the rate if nowhere."""
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
    """RMS of the wet recording where the dry one is silent (50 ms frames, 60 dB under its level); None if nowhere."""
    size = rate // 20
    count = min(len(dry), len(wet)) // size
    played, heard = (
        np.sqrt(np.mean(np.square(s[: count * size].reshape(count, size), dtype=np.float64), 1)) for s in (dry, wet)
    )
    still = played < 1e-3 * _rms(dry)
    after = still[1:] & still[:-1]  # the first frame of a rest still rings
    return float(np.sqrt(np.mean(heard[1:][after] ** 2))) if after.sum() >= 3 else None


def crest(signal: Audio) -> float:
    """Peak over RMS."""
    return float(np.abs(signal).max(initial=0)) / max(_rms(signal), 1e-12)


def replicate_esr(dry: Audio, wet: Audio, rate: int) -> float | None:
    """ESR between two renditions of what the dry recording plays twice, sample for sample; None if it does not."""
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


def _rms(signal: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def _db(ratio: float) -> float:
    return float(-20 * np.log10(max(ratio, 1e-12)))
