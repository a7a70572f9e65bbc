"""Measure the perceptual knobs of a drum hit by differentiable formulas on its bands.

With the power P(b, k) of band b and frame k, its width W(b) in Hz and its duration D(k) in seconds:

- E(b) is the sum over k of P D, and E is the sum over b of E(b) W. Sums over ranges of Hz are sums over their bands.
- `boominess`: E below 120 Hz over the rest of E, in dB.
- `brightness`: mean of log2 f, weighted by the square root of E(b) W.
- `hardness`: E above 200 Hz in the first 12 ms over that from 12 to 120 ms, in dB.
- `warmth`: E from 120 to 600 Hz over E above 600 Hz, in dB.
- `depth`: minus the mean of log2 f, weighted by E(b) W / f. It is the lowest strong frequency.
- `decay`: log2 of the mean of t, weighted by the square root of the power of frame k and by D.
- `noisiness`: the entropy in bits of the square root of E(b) W, as shares of its sum. It is low if few bands have all
  energy, and high if all have some.

Balances are limited to 30 dB, because what is quieter is masked. A knob's value is 0 at the 5th percentile of its class
and 1 at the 95th. Percentiles are robust: the scale does not follow a few extreme sounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from instruments.drums.bands import FLOOR_DB, band_hz, frame_seconds

KNOBS = ("boominess", "brightness", "hardness", "warmth", "depth", "decay", "noisiness")
"""All knobs. Their order is that of the network's inputs."""

BOOM_HZ = 120.0
WARM_HZ = 600.0
ATTACK_HZ = 200.0
ATTACK_SECONDS = 0.012
BODY_SECONDS = 0.12
_NEPERS = math.log(10) / 10  # per dB of power
_FLOOR = 10 ** (FLOOR_DB / 10)
_SHARE_FLOOR = 1e-3  # what is 30 dB below the rest is masked by it
_ENERGY_FLOOR = 1e-6
_POWER_FLOOR = 1e-4


@dataclass(frozen=True)
class Weights:
    """The constants of the formulas. A caller that uses torch converts them to tensors.

    Attributes:
        octaves: (96,) log2 of the bands' frequencies.
        width: (96,) of the bands, in Hz.
        over_hz: (96,) one over the bands' frequencies.
        boom, warm, not_boom, attack_bands: (96,) which bands belong to a range.
        seconds: (144,) times of the frames.
        duration: (144,) of the frames, in seconds.
        attack, body: (144,) which frames belong to a range.
    """

    octaves: Any
    width: Any
    over_hz: Any
    boom: Any
    warm: Any
    not_boom: Any
    attack_bands: Any
    seconds: Any
    duration: Any
    attack: Any
    body: Any

    @classmethod
    def make(cls, convert: Callable[[np.ndarray], Any] = np.asarray) -> Weights:
        """Return the constants.

        Args:
            convert: makes the arrays of the caller's library, such as `torch.tensor`.
        """
        hz = band_hz()
        seconds = frame_seconds()
        return cls(
            **{
                name: convert(np.asarray(value, np.float32))
                for name, value in {
                    "octaves": np.log2(hz),
                    "width": np.gradient(hz),
                    "over_hz": 1 / hz,
                    "boom": hz < BOOM_HZ,
                    "warm": (hz >= BOOM_HZ) & (hz < WARM_HZ),
                    "not_boom": hz >= BOOM_HZ,
                    "attack_bands": hz >= ATTACK_HZ,
                    "seconds": seconds + seconds[1],
                    "duration": np.gradient(seconds),
                    "attack": seconds < ATTACK_SECONDS,
                    "body": seconds < BODY_SECONDS,
                }.items()
            }
        )


def raw_knobs(levels: Any, weights: Weights, log: Callable[[Any], Any], exp: Callable[[Any], Any]) -> list[Any]:
    """Measure the knobs in their own units, by operations that numpy and torch share.

    Args:
        levels: (..., 96, 144) in dB, as `bands.limited` returns.
        weights: constants of the same library.
        log, exp: natural logarithm and exponential function of that library.

    Returns:
        One array (...) for each of `KNOBS`.
    """
    w = weights
    heard = exp(levels * _NEPERS) - _FLOOR  # 0 where the hit is silent
    energy = (heard @ w.duration) * w.width  # (..., bands)
    total = energy.sum(-1)
    root = _root(energy, _ENERGY_FLOOR)
    low = energy * w.over_hz
    by_frame = heard.swapaxes(-1, -2)
    strength = _root(by_frame @ w.width, _POWER_FLOOR) * w.duration  # (..., frames)
    struck = (by_frame @ (w.width * w.attack_bands)) * w.duration
    spread = root / root.sum(-1)[..., None] + 1e-9

    def balance(part: Any, whole: Any) -> Any:
        least = _SHARE_FLOOR * whole + _ENERGY_FLOOR
        return _decibels((part + least) / (whole - part + least), log)

    return [
        balance((energy * w.boom).sum(-1), total),
        (root * w.octaves).sum(-1) / root.sum(-1),
        balance((struck * w.attack).sum(-1), (struck * w.body).sum(-1)),
        balance((energy * w.warm).sum(-1), (energy * w.not_boom).sum(-1)),
        -(low * w.octaves).sum(-1) / low.sum(-1),
        log((strength * w.seconds).sum(-1) / strength.sum(-1)) / math.log(2),
        -(spread * log(spread)).sum(-1) / math.log(2),
    ]


def _root(power: Any, floor: float) -> Any:
    """Return a square root whose slope is finite at 0."""
    return (power + floor) ** 0.5 - floor**0.5


def _decibels(power: Any, log: Callable[[Any], Any]) -> Any:
    return log(power) * (1 / _NEPERS)


_WEIGHTS = Weights.make()


def measured_knobs(levels: np.ndarray) -> np.ndarray:
    """Return the (..., 7) knobs of (..., 96, 144) levels in dB, as `bands.limited` returns, in their own units."""
    return np.asarray(np.stack(raw_knobs(levels, _WEIGHTS, np.log, np.exp), -1), np.float32)
