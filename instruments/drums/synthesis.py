"""Synthesise drum hits from random parameters: damped gliding sines, filtered noise and bursts.

This is a drum machine of our own. It gives the network more sounds than there are recordings with clear licences.

>>> synthesize("snare", seed=3).dtype
dtype('float32')
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instruments.drums.bands import RATE, SECONDS
from instruments.drums.classes import CLASSES
from neural_fx.arrays import Array

Random = np.random.Generator
Samples = NDArray[np.float64]

_END_DB = -66.0


@dataclass(frozen=True)
class Recipe:
    """The ranges of a class. Each pair is the least and the most. Pairs of Hz and seconds are drawn on a log scale.

    Attributes:
        hz: frequency of the lowest tone.
        tone_seconds: time in which the tone falls by 60 dB.
        tone: level of the tone, 0 to 1.
        partials: frequencies of further tones, as multiples of the lowest.
        glide: octaves from which the tones fall at the onset.
        noise: level of the noise, 0 to 1.
        noise_seconds: time in which the noise falls by 60 dB.
        low_hz: lower edge of the noise.
        high_hz: upper edge of the noise.
        attack: seconds in which the noise rises.
        click: level of a click of 2 ms at the onset, 0 to 1.
        bursts: number of noise bursts before the tail, about 10 ms apart.
        metal: number of inharmonic partials above the lowest tone.
    """

    hz: tuple[float, float] = (100.0, 200.0)
    tone_seconds: tuple[float, float] = (0.1, 0.3)
    tone: tuple[float, float] = (0.0, 0.0)
    partials: tuple[float, ...] = ()
    glide: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)
    noise_seconds: tuple[float, float] = (0.1, 0.3)
    low_hz: tuple[float, float] = (200.0, 400.0)
    high_hz: tuple[float, float] = (8000.0, 20000.0)
    attack: tuple[float, float] = (0.0001, 0.0005)
    click: tuple[float, float] = (0.0, 0.0)
    bursts: int = 0
    metal: int = 0


_DRUM_PARTIALS = (1.59, 2.14, 2.3)  # of an ideal circular membrane
_TOM = Recipe(
    tone_seconds=(0.25, 1.2), tone=(0.7, 1), partials=_DRUM_PARTIALS, glide=(0.03, 0.5), noise=(0.02, 0.25),
    noise_seconds=(0.04, 0.3), low_hz=(100, 500), high_hz=(1500, 12000), click=(0, 0.4),
)  # fmt: skip
_HAT = Recipe(
    hz=(300, 800), tone=(0, 0.5), metal=6, noise=(0.6, 1), low_hz=(2500, 8000), high_hz=(13000, 20000), click=(0, 0.3),
)  # fmt: skip


def _like(recipe: Recipe, **changes: tuple[float, float]) -> Recipe:
    values = {**recipe.__dict__, **changes}
    return Recipe(**values)


RECIPES = {
    "kick": Recipe(
        hz=(38, 75), tone_seconds=(0.15, 1.2), tone=(0.9, 1), glide=(0.3, 2.6), noise=(0.0, 0.15),
        noise_seconds=(0.01, 0.15), low_hz=(60, 1000), high_hz=(1500, 10000), click=(0, 0.6),
    ),
    "snare": Recipe(
        hz=(140, 260), tone_seconds=(0.06, 0.4), tone=(0.25, 0.9), partials=_DRUM_PARTIALS, glide=(0.02, 0.5),
        noise=(0.3, 1), noise_seconds=(0.1, 0.6), low_hz=(250, 1500), high_hz=(6000, 18000), click=(0, 0.5),
    ),
    "rim": Recipe(
        hz=(400, 1800), tone_seconds=(0.02, 0.15), tone=(0.6, 1), partials=(1.5, 2.6), noise=(0.05, 0.5),
        noise_seconds=(0.01, 0.06), low_hz=(500, 2000), high_hz=(5000, 16000), click=(0.1, 0.8),
    ),
    "clap": Recipe(
        noise=(1, 1), noise_seconds=(0.08, 0.5), low_hz=(400, 1200), high_hz=(2500, 12000), bursts=3,
    ),
    "closed_hat": _like(_HAT, noise_seconds=(0.03, 0.2)),
    "open_hat": _like(_HAT, noise_seconds=(0.4, 1.6)),
    "low_tom": _like(_TOM, hz=(55, 110)),
    "mid_tom": _like(_TOM, hz=(85, 160)),
    "high_tom": _like(_TOM, hz=(120, 260)),
    "crash": Recipe(
        hz=(250, 600), tone=(0, 0.3), metal=8, noise=(0.8, 1), noise_seconds=(1.2, 3.5), low_hz=(300, 3000),
        high_hz=(10000, 20000), attack=(0.0002, 0.01), click=(0, 0.2),
    ),
    "ride": Recipe(
        hz=(350, 1000), tone=(0.2, 0.8), metal=7, noise=(0.3, 0.9), noise_seconds=(0.8, 3), low_hz=(1500, 5000),
        high_hz=(9000, 18000), click=(0.1, 0.6),
    ),
    "cowbell": Recipe(
        hz=(450, 850), tone_seconds=(0.1, 0.7), tone=(0.8, 1), partials=(1.48, 2.7, 4.1), noise=(0.0, 0.15),
        noise_seconds=(0.01, 0.1), low_hz=(800, 3000), high_hz=(5000, 14000), click=(0, 0.5),
    ),
    "shaker": Recipe(
        noise=(1, 1), noise_seconds=(0.06, 0.35), low_hz=(2500, 6000), high_hz=(9000, 19000), attack=(0.002, 0.05),
    ),
    "tambourine": Recipe(
        hz=(1500, 4000), tone=(0.05, 0.4), metal=6, noise=(0.7, 1), noise_seconds=(0.12, 0.7), low_hz=(2500, 6000),
        high_hz=(12000, 20000), attack=(0.0002, 0.01), bursts=1,
    ),
}  # fmt: skip
"""What each class is made of."""


def synthesize(drum: str, seed: int | list[int], recipe: Recipe | None = None) -> Array:
    """Synthesise a hit.

    Args:
        drum: name of the class.
        seed: of the random parameters and the noise. One seed always gives one sound.
        recipe: ranges of the parameters; None for those of the class.

    Returns:
        (samples,) float32 at 48 kHz with a peak of 1, beginning at the onset.
    """
    seeds = [seed] if isinstance(seed, int) else seed
    random = np.random.default_rng([CLASSES.index(drum), *seeds])
    recipe = recipe or RECIPES[drum]
    tone_seconds = _log_between(random, recipe.tone_seconds)
    noise_seconds = _log_between(random, recipe.noise_seconds)
    if recipe.metal:
        tone_seconds = noise_seconds * random.uniform(0.5, 1.0)
    count = round(min(SECONDS, 0.05 + 1.1 * max(tone_seconds, noise_seconds)) * RATE)
    seconds = np.arange(count) / RATE
    audio = random.uniform(*recipe.tone) * _tones(random, recipe, seconds, tone_seconds)
    audio += random.uniform(*recipe.noise) * _noise(random, recipe, seconds, noise_seconds)
    audio += random.uniform(*recipe.click) * _click(random, seconds)
    drive = random.uniform(0.0, 2.0) * (random.random() < 0.3)
    if drive:
        audio = np.tanh((1 + drive) * audio / np.abs(audio).max())
    audio /= np.abs(audio).max()
    audible = np.flatnonzero(np.abs(audio) > 10 ** (_END_DB / 20))
    return np.asarray(audio[: audible[-1] + 1], np.float32)


def _log_between(random: Random, limits: tuple[float, float]) -> float:
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))


def _fall(seconds: Samples, time: float) -> Samples:
    """Return an envelope that falls by 60 dB in `time` seconds."""
    return np.asarray(np.exp(-6.9 * seconds / time))


def _tones(random: Random, recipe: Recipe, seconds: Samples, time: float) -> Samples:
    base = _log_between(random, recipe.hz)
    glide = random.uniform(*recipe.glide) * np.exp(-seconds / _log_between(random, (0.006, 0.06)))
    parts = [(1.0, 1.0, time)]
    parts += [(m * random.uniform(0.93, 1.07), random.uniform(0.05, 0.5), time / m) for m in recipe.partials]
    ratios = np.cumprod(random.uniform(1.12, 1.7, recipe.metal))
    parts += [(ratio, random.uniform(0.2, 1.0), time * random.uniform(0.5, 1.0)) for ratio in ratios]
    out = np.zeros(len(seconds))
    for ratio, level, decay in parts:
        hz = np.minimum(base * ratio * 2**glide, 0.45 * RATE)
        out += level * np.sin(2 * np.pi * np.cumsum(hz) / RATE) * _fall(seconds, decay)
    return np.asarray(out / np.sqrt(sum(level**2 for _, level, _ in parts)))


def _noise(random: Random, recipe: Recipe, seconds: Samples, time: float) -> Samples:
    count = len(seconds)
    spectrum = np.fft.rfft(random.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE)
    low = _log_between(random, recipe.low_hz)
    high = max(_log_between(random, recipe.high_hz), 1.5 * low)
    slope = random.uniform(2, 6)
    gain = 1 / np.sqrt((1 + (low / np.maximum(hz, 1.0)) ** slope) * (1 + (hz / high) ** (2 * slope)))
    centre, width = _log_between(random, (low, high)), random.uniform(0.2, 1.0)
    gain *= 1 + random.uniform(0, 2) * np.exp(-((np.log(np.maximum(hz, 1.0) / centre) / width) ** 2))
    noise = np.fft.irfft(spectrum * gain, count)
    noise /= np.sqrt((noise[: RATE // 50] ** 2).mean()) * 3
    return noise * _noise_envelope(random, recipe, seconds, time)


def _noise_envelope(random: Random, recipe: Recipe, seconds: Samples, time: float) -> Samples:
    attack = _log_between(random, recipe.attack)
    start = 0.0
    envelope = np.zeros(len(seconds))
    for _ in range(recipe.bursts):
        since = seconds - start
        envelope += np.where(since >= 0, _fall(np.maximum(since, 0), 0.03), 0) * random.uniform(0.5, 1)
        start += random.uniform(0.007, 0.014)
    since = np.maximum(seconds - start, 0)
    early = random.uniform(0, 0.8)  # a fast and a slow decay, as of real drums
    tail = early * _fall(since, 0.25 * time) + (1 - early) * _fall(since, time)
    return envelope + np.where(seconds >= start, np.minimum(1, since / attack + 0.05) * tail, 0)


def _click(random: Random, seconds: Samples) -> Samples:
    hz = _log_between(random, (800, 5000))
    tone = np.sin(2 * np.pi * hz * seconds) + 0.5 * random.standard_normal(len(seconds))
    return np.asarray(tone * _fall(seconds, random.uniform(0.004, 0.02)))
