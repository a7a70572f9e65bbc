"""What a colleague would say of a pair of recordings before training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import TrainingError

Audio = NDArray[np.float32]

LOWEST_RATE = 32000
"""Hz below which a recording has lost what a capture needs."""
OFFSET = 1e-3
"""Constant offset (-60 dBFS) from which on a recording is remarked on."""
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
    if _level(signal) < 1e-4:
        raise TrainingError(f"{path} is silent (below -80 dBFS RMS); check the recording")


def level_remarks(name: str, signal: Audio) -> list[str]:
    """Return warnings about the level of one recording, each a sentence; none for a good one.

    Converting the sample rate rounds off clipped tops, so this looks at the recording as it was read.

    Args:
        name: what to call it: dry or wet.
        signal: (samples,) at the file's own rate.
    """
    found = []
    clipped = clipped_share(signal)
    if clipped > 1e-5:
        found.append(
            f"the {name} recording clips ({100 * clipped:.2g} % of its samples stand at the ceiling); lower the "
            "interface's gain and record again, or the capture learns your interface"
        )
    offset = float(np.mean(signal, dtype=np.float64))
    if abs(offset) > OFFSET and abs(offset) > 0.1 * _level(signal):
        found.append(
            f"the {name} recording has a constant offset of {offset:.3g}; remove it with a high-pass at 5 Hz, or the "
            "capture learns it"
        )
    return found


def remarks(dry: Audio, wet: Audio, rate: int) -> list[str]:
    """Return warnings about an aligned pair, each a sentence; none for a good one.

    Args:
        dry, wet: (samples,) each.
        rate: Hz.
    """
    found = []
    for name, signal in (("dry", dry), ("wet", wet)):
        top = bandwidth(signal, rate)
        if top < 0.3 * rate:
            found.append(
                f"the {name} recording has nothing above {top / 1000:.1f} kHz: was it an MP3, or recorded at a lower "
                "rate? The capture will sound dull"
            )
    noise = noise_floor(dry, wet, rate)
    signal_power = _level(wet) ** 2
    if noise is not None and noise**2 > 1e-4 * signal_power:
        found.append(
            f"the wet recording's noise is {_db(noise / _level(wet)):.0f} dB below its level; no capture of it can "
            f"have an ESR below {100 * noise**2 / signal_power:.2g} %"
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
    """Return the share of samples in runs of three or more that stand at the highest or the lowest value.

    Only the ceiling and the floor that are at least half of full scale count. Each is looked at by itself, because an
    offset or an asymmetric stage moves them apart.
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
    """Return the RMS of the wet recording's noise where the dry one is silent; None if it is silent nowhere.

    Silent: frames of 50 ms that are 60 dB under the dry recording's level. Levels are about the mean of all such
    frames: a constant offset is not noise.
    """
    size = rate // 20
    count = min(len(dry), len(wet)) // size
    played = dry[: count * size].reshape(count, size)
    heard = wet[: count * size].reshape(count, size)
    still = np.std(played, 1, dtype=np.float64) < 1e-3 * _level(dry)
    after = np.flatnonzero(still[1:] & still[:-1]) + 1  # the first frame of a rest still rings
    return _level(heard[after]) if len(after) >= 3 else None


def crest(signal: Audio) -> float:
    """Return peak over RMS, both about the mean."""
    centre = float(np.mean(signal, dtype=np.float64))
    return float(np.abs(signal - centre).max(initial=0)) / max(_level(signal), 1e-12)


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


def _level(signal: Audio) -> float:
    """Return the RMS about the mean: a constant offset is no signal."""
    return float(np.std(signal, dtype=np.float64))


def _db(ratio: float) -> float:
    return float(-20 * np.log10(max(ratio, 1e-12)))
