"""Draw samples from distributions, by numbers that every implementation can repeat.

Uniform numbers in [0, 1) are those of numpy's default generator, ``default_rng(seed).random(dtype=float32)``. The
compiled kernels have the same generator (`native/kernels/voices/random.hpp`). A class takes one of them, a sample of a
mixture takes two: the first chooses the logistic, the second the value.

All sums are of float32 in the order of the classes. Rounding in the network may still turn a draw that falls exactly
between two classes, about once in a million samples.
"""

from __future__ import annotations

import numpy as np

from neural_fx.arrays import Array, Numbers

LEAST_UNIFORM = 1e-5
"""Draws of logistics end here, 11.5 scales from the mean."""
LEAST_LOG_SCALE = -8.0
"""Narrower logistics are as wide as this."""
STEP = 2.0 / 65535
"""Distance of two levels of a mixture of logistics, whose samples are from -1 to 1."""


class Uniform:
    """A stream of uniform numbers for each of several voices. Each voice is independent of how many others there are.

    Args:
        seeds: of the voices.
    """

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def draw(self, count: int) -> Array:
        """Return the next numbers of every voice, (voices, count)."""
        return np.stack([g.random(count, dtype=np.float32) for g in self._generators])


def draw_classes(logits: Numbers, uniform: Numbers, temperature: float = 1.0) -> Numbers:
    """Return classes: the first whose cumulative probability is above the uniform number.

    Args:
        logits: (voices, classes).
        uniform: (voices,).
        temperature: divides the logits. Lower is cleaner; 0 takes the likeliest class.

    Returns:
        (voices,), int64.
    """
    logits = np.asarray(logits, np.float32)
    if temperature <= 0:
        return np.asarray(logits.argmax(axis=1))
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
    cumulative = np.cumsum(np.exp(scaled), axis=1, dtype=np.float32)
    wanted = np.asarray(uniform, np.float32)[:, None] * cumulative[:, -1:]
    return np.asarray((cumulative > wanted).argmax(axis=1))


def draw_logistics(parameters: Numbers, uniform: Numbers, temperature: float = 1.0) -> Array:
    """Return samples of mixtures of logistics, clipped to -1 to 1.

    Args:
        parameters: (voices, 3 * mixtures): logits, means and logarithms of the scales.
        uniform: (voices, 2).
        temperature: multiplies the scales; the choice of the logistic stays. 0 takes the likeliest one's mean.

    Returns:
        (voices,).
    """
    logits, means, log_scales = np.split(np.asarray(parameters, np.float32), 3, axis=1)
    chosen = draw_classes(logits, uniform[:, 0], 1.0 if temperature > 0 else 0.0)[:, None]
    mean = np.take_along_axis(means, chosen, 1)[:, 0]
    scale = np.exp(np.maximum(np.take_along_axis(log_scales, chosen, 1)[:, 0], np.float32(LEAST_LOG_SCALE)))
    u = np.clip(np.asarray(uniform[:, 1], np.float32), np.float32(LEAST_UNIFORM), np.float32(1 - LEAST_UNIFORM))
    value = mean + np.float32(temperature) * scale * (np.log(u) - np.log1p(-u))
    return np.asarray(np.clip(value, -1, 1), np.float32)
