"""Find the latent numbers and the knobs whose hit is nearest to a recorded one.

The encoder makes the first guess. Then gradient descent moves z and knobs, through the decoder, which is small enough
for its gradient to be written out here. What it reduces is the distance of the bands and of the sines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruments.drums.bands import RATE, SECONDS, band_levels, level_distance, limited
from instruments.drums.classes import CLASSES
from instruments.drums.guess import class_odds
from instruments.drums.network import MOST_BEYOND, DrumNetwork
from instruments.drums.sines import Sines, find_sines
from neural_fx.arrays import Array
from neural_fx.audio import read_audio, resample
from neural_fx.errors import NeuralFXError
from neural_fx.values import suggestion

STEPS = 250
LEARNING_RATE = 0.05
PRIOR_WEIGHT = 2e-4  # of squared z beside squared errors in units of 10 dB
SINE_WEIGHT = 2e-3
MOST_Z = 4.0
SILENT = 1e-4  # -80 dBFS
LEAST_SAMPLES = 480  # 10 ms
ONSET = 10 ** (-40 / 20)  # of the peak: where a hit begins
END = 10 ** (-66 / 20)  # of the peak: where it ends
LEAD_SAMPLES = 24


@dataclass(frozen=True)
class Likeness:
    """A drum that sounds like a recorded hit.

    Attributes:
        drum: name of its class.
        z: latent numbers.
        knobs: (7,) its own knobs, scaled.
        distance_db: between the bands of the recorded hit and of the drum.
        first_distance_db: the same before the descent.
        odds: probability of each class that the classifier gave, the most likely first; empty if the class was given.
    """

    drum: str
    z: Array
    knobs: Array
    distance_db: float
    first_distance_db: float
    odds: dict[str, float]


def find_like(network: DrumNetwork, audio: Array, drum: str | None = None) -> Likeness:
    """Find the drum that sounds most like a hit.

    Args:
        network: that makes the drum.
        audio: (samples,) at 48 kHz, as `read_hit` returns.
        drum: name of the class; None for the one that the classifier guesses.

    Raises:
        NeuralFXError: there is no such class.
    """
    if drum is not None and drum not in CLASSES:
        raise NeuralFXError(f"unknown class {drum!r}{suggestion(drum, CLASSES)}; classes: {', '.join(CLASSES)}")
    levels = limited(band_levels(audio))
    sines = find_sines(audio)
    odds = {} if drum else class_odds(levels)
    drum = drum or next(iter(odds))
    z, knobs, distance, first = nearest_numbers(network, drum, levels, sines)
    return Likeness(drum, z, knobs, distance, first, odds)


def nearest_numbers(network: DrumNetwork, drum: str, levels: Array, sines: Sines) -> tuple[Array, Array, float, float]:
    """Return z and knobs of the nearest drum, its distance in dB, and the distance before the descent.

    Args:
        network: that makes the drum.
        drum: name of the class.
        levels: (96, 144) wanted levels in dB, as `bands.limited` returns.
        sines: wanted tones.
    """
    z, knobs = network.encode(drum, levels, sines)
    first = _distance(network, drum, levels, z, knobs)
    own = np.clip(knobs, -MOST_BEYOND, 1 + MOST_BEYOND)
    found = [(first, z, own)]
    for free_knobs in (False, True):
        moved = _descended(network, drum, levels, sines, z, own, free_knobs)
        found.append((_distance(network, drum, levels, *moved), *moved))
    distance, z, knobs = min(found, key=lambda item: item[0])
    return z, knobs, distance, first


def read_hit(path: str | Path) -> Array:
    """Read one drum hit from a file: (samples,) at 48 kHz, from its onset to its end, with a peak of 1.

    Raises:
        AudioError: the file cannot be read.
        NeuralFXError: it is silent, or too short, or has samples that are not finite.
    """
    sound, rate = read_audio(path)
    if not np.isfinite(sound).all():
        raise NeuralFXError(f"{path}: has samples that are not finite numbers")
    if not sound.shape[1] or np.abs(sound).max() < SILENT:
        raise NeuralFXError(f"{path}: silent; expected one drum hit")
    audio = resample(sound.mean(0, keepdims=True), rate, RATE)[0]
    peak = float(np.abs(audio).max())
    if peak < SILENT:
        raise NeuralFXError(f"{path}: its channels cancel each other; expected one drum hit")
    audio = audio / peak
    start = max(0, int(np.flatnonzero(np.abs(audio) > ONSET)[0]) - LEAD_SAMPLES)
    end = int(np.flatnonzero(np.abs(audio) > END)[-1]) + 1
    hit = audio[start : min(end, start + round(SECONDS * RATE))]
    if len(hit) < LEAST_SAMPLES:
        seconds = LEAST_SAMPLES / RATE
        raise NeuralFXError(f"{path}: sounds for {len(hit) / RATE * 1000:.1f} ms; expected at least {seconds} s")
    return np.asarray(hit, np.float32)


def _distance(network: DrumNetwork, drum: str, levels: Array, z: Array, knobs: Array) -> float:
    return level_distance(network.decode(drum, z, knobs).levels, levels)


def _descended(
    network: DrumNetwork, drum: str, levels: Array, sines: Sines, z: Array, knobs: Array, free_knobs: bool
) -> tuple[Array, Array]:
    """Return z and knobs after `STEPS` steps of Adam.

    Args:
        network: whose decoder is followed.
        drum: name of the class.
        levels: (96, 144) wanted levels in dB.
        sines: wanted tones.
        z: to begin with.
        knobs: (7,) to begin with.
        free_knobs: whether the knobs move too.
    """
    numbers = np.concatenate((z, knobs)).astype(np.float32)
    mean, square = np.zeros_like(numbers), np.zeros_like(numbers)
    latent = len(z)
    wanted = sines.vector()
    for step in range(1, STEPS + 1):
        gradient = network.gradient(drum, numbers[:latent], numbers[latent:], levels, wanted, SINE_WEIGHT)
        gradient[:latent] += PRIOR_WEIGHT * numbers[:latent]
        if not free_knobs:
            gradient[latent:] = 0
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        numbers -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        numbers[:latent] = np.clip(numbers[:latent], -MOST_Z, MOST_Z)
        numbers[latent:] = np.clip(numbers[latent:], -MOST_BEYOND, 1 + MOST_BEYOND)
    return numbers[:latent], numbers[latent:]
