"""Make drum hits of wide variety: the synthesiser with wider ranges, then an equaliser, a room, and distortion.

`instruments.drums.synthesis` makes sounds such as a drum machine has. These are more diverse, and less beautiful. They
teach the network what it may meet in a kit that it never saw.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import fftconvolve

from instruments.drums.bands import RATE, SECONDS
from instruments.drums.classes import CLASSES
from instruments.drums.synthesis import RECIPES, Random, Recipe, synthesize
from neural_fx.arrays import Array

MEMBRANE = (1.59, 2.14, 2.3, 2.65, 2.92, 3.16, 3.5, 3.6, 4.06)
"""Modes of an ideal circular membrane beside its lowest one."""

END = 10 ** (-66 / 20)
ONSET = 10 ** (-40 / 20)
LEAD_SAMPLES = 24


def varied(drum: str, seed: int) -> Array:
    """Return a hit of a class, (samples,) float32 at 48 kHz with a peak of 1, beginning at the onset.

    Args:
        drum: name of the class.
        seed: one seed always gives one sound.
    """
    random = np.random.default_rng([977, CLASSES.index(drum), seed])
    audio = synthesize(drum, [seed, 977], widened(RECIPES[drum], random))
    if random.random() < 0.35:  # two layers, as in many sampled kits
        other = synthesize(drum, [seed, 978], widened(RECIPES[drum], random))
        audio = _mixed(audio, other, float(10 ** random.uniform(-1.0, 0.0)))
    if random.random() < 0.8:
        audio = _equalised(audio, random)
    if random.random() < 0.5:
        audio = _in_room(audio, random)
    if random.random() < 0.3:
        drive = float(10 ** random.uniform(0, 1))
        audio = np.tanh(drive * audio / np.abs(audio).max())
    if random.random() < 0.3:  # a recording with hiss or hum, faded out at its end
        noise = random.standard_normal(len(audio)) * 10 ** (random.uniform(-80, -50) / 20)
        audio = audio + _equalised(noise, random) * np.minimum(1, np.arange(len(audio))[::-1] / 2400)
    return _trimmed(audio)


def widened(recipe: Recipe, random: Random) -> Recipe:
    """Return a recipe with shifted, wider ranges and other partials."""

    def scaled(pair: tuple[float, float], octaves: float) -> tuple[float, float]:
        shift = random.uniform(-octaves, octaves)
        return pair[0] * 2.0 ** (shift - octaves / 2), pair[1] * 2.0 ** (shift + octaves / 2)

    def opened(pair: tuple[float, float], amount: float) -> tuple[float, float]:
        return max(0.0, pair[0] - random.uniform(0, amount)), min(1.0, pair[1] + random.uniform(0, amount))

    partials = recipe.partials
    if partials and random.random() < 0.6:
        count = int(random.integers(1, 8))
        partials = tuple(random.choice(MEMBRANE, count, replace=False) * random.uniform(0.85, 1.2, count))
    high = scaled(recipe.high_hz, 0.6)
    return replace(
        recipe,
        hz=scaled(recipe.hz, 0.35),
        tone_seconds=scaled(recipe.tone_seconds, 0.7),
        tone=opened(recipe.tone, 0.3),
        partials=partials,
        glide=(recipe.glide[0] * random.uniform(0, 1), recipe.glide[1] * random.uniform(0.3, 1.3)),
        noise=opened(recipe.noise, 0.3),
        noise_seconds=scaled(recipe.noise_seconds, 0.8),
        low_hz=scaled(recipe.low_hz, 0.8),
        high_hz=(min(high[0], 18000.0), min(high[1], 20000.0)),
        attack=scaled(recipe.attack, 1.0),
        click=opened(recipe.click, 0.4),
        bursts=max(0, recipe.bursts + int(random.integers(-1, 2))) if recipe.bursts else 0,
        metal=max(2, recipe.metal + int(random.integers(-3, 12))) if recipe.metal else 0,
    )


def _mixed(first: np.ndarray, second: np.ndarray, gain: float) -> np.ndarray:
    out = np.zeros(max(len(first), len(second)))
    out[: len(first)] += first
    out[: len(second)] += gain * second
    return out


def _equalised(audio: np.ndarray, random: Random) -> np.ndarray:
    """Filter by a random smooth curve, and sometimes cut the bass or the treble."""
    size = 1 << (len(audio) - 1).bit_length()
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE), 10.0))
    gain_db = random.uniform(-1.5, 1.5) * (octaves - 10)
    for _ in range(int(random.integers(1, 6))):
        width = random.uniform(0.15, 1.2)
        gain_db += random.uniform(-12, 10) * np.exp(-(((octaves - random.uniform(5, 14)) / width) ** 2))
    if random.random() < 0.2:
        gain_db -= random.uniform(12, 48) * np.maximum(0, octaves - random.uniform(11.5, 14))
    if random.random() < 0.2:
        gain_db -= random.uniform(12, 36) * np.maximum(0, random.uniform(5, 8) - octaves)
    spectrum = np.fft.rfft(audio, size) * 10 ** (gain_db / 20)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(audio)])


def _in_room(audio: np.ndarray, random: Random) -> np.ndarray:
    """Add the reverberation of a room: noise that decays faster in the treble, after a few early reflections."""
    time = float(np.exp(random.uniform(np.log(0.08), np.log(1.6))))
    count = round(min(time, 1.5) * RATE)
    seconds = np.arange(count) / RATE
    tail = random.standard_normal(count) * np.exp(-6.9 * seconds / time)
    dull = np.cumsum(random.standard_normal(count)) * np.exp(-6.9 * seconds / time)
    dull -= np.convolve(dull, np.ones(200) / 200, "same")
    response = tail / np.sqrt((tail**2).sum()) + random.uniform(0, 2) * dull / np.sqrt((dull**2).sum() + 1e-9)
    response[: round(random.uniform(0, 0.02) * RATE)] *= 0.1
    for _ in range(int(random.integers(0, 6))):
        response[int(random.integers(1, max(2, round(0.03 * RATE)))) % count] += random.uniform(-0.3, 0.3)
    room = fftconvolve(audio, response)[: round(SECONDS * RATE)]
    amount = 10 ** (random.uniform(-30, -3) / 20)
    room *= amount * np.sqrt((audio**2).sum() / max(1e-9, (room**2).sum()))
    return _mixed(audio, room, 1.0)


def _trimmed(audio: np.ndarray) -> Array:
    audio = audio / np.abs(audio).max()
    start = max(0, int(np.flatnonzero(np.abs(audio) > ONSET)[0]) - LEAD_SAMPLES)
    end = int(np.flatnonzero(np.abs(audio) > END)[-1]) + 1
    return np.asarray(audio[start : max(end, start + 480)][: round(SECONDS * RATE)], np.float32)
