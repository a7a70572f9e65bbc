"""Move timbres: over a map on which all presets lie, along single numbers, and at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neural_fx.arrays import Doubles

_NEAREST = 1e-9
"""Added to squared distances on the map, so that the preset at a position alone decides there."""
_MIXED = 3
"""Presets that a random timbre is mixed from."""
_STRAY = 0.35
"""How far a random timbre leaves the mix, in standard deviations."""


@dataclass(frozen=True)
class TimbreMap:
    """A map with a position for each preset, and a timbre at each position.

    The map is the plane in which presets differ most. A timbre at a position is the plane's own, plus what the presets
    nearby have beside the plane. So the position of a preset gives exactly this preset.

    Attributes:
        spreads: standard deviation of the presets along each number of a timbre, (timbre,); 1 without presets.
        centre: timbre at (0, 0) of the plane, (timbre,).
        plane: the two directions in which presets differ most, (2, timbre). Each is one standard deviation long.
        positions: of the presets, (presets, 2).
        rests: of the presets beside the plane, (presets, timbre).
    """

    spreads: Doubles
    centre: Doubles
    plane: Doubles
    positions: Doubles
    rests: Doubles

    def position(self, timbre: Doubles) -> tuple[float, float]:
        """Return the position that is nearest to a timbre."""
        x, y = _projected(timbre - self.centre, self.plane)
        return float(x), float(y)

    def at(self, x: float, y: float) -> Doubles:
        """Return the timbre at a position, (timbre,)."""
        timbre = self.centre + x * self.plane[0] + y * self.plane[1]
        if len(self.rests) == 0:
            return np.asarray(timbre)
        # Shepard's interpolation: each preset counts by the inverse fourth power of its distance.
        distances = (self.positions[:, 0] - x) ** 2 + (self.positions[:, 1] - y) ** 2
        shares = 1 / (distances + _NEAREST) ** 2
        return np.asarray(timbre + (shares / shares.sum()) @ self.rests)


def timbre_map(presets: Mapping[str, Doubles], numbers: int) -> TimbreMap:
    """Return the map of some presets.

    Args:
        presets: timbres by name.
        numbers: of a timbre.
    """
    if len(presets) < 3:
        return TimbreMap(np.ones(numbers), np.zeros(numbers), _plain(numbers), np.zeros((0, 2)), np.zeros((0, numbers)))
    timbres = np.stack(list(presets.values()))
    centre = timbres.mean(axis=0)
    centred = timbres - centre
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    plane = _plain(numbers)
    count = min(2, len(directions))
    # The sign of a direction is arbitrary: its largest number shall be positive.
    signs = np.sign(directions[np.arange(count), np.abs(directions[:count]).argmax(axis=1)])
    plane[:count] = directions[:count] * (signs * sizes[:count])[:, None] / np.sqrt(len(presets))
    positions = _projected(centred, plane)
    return TimbreMap(timbres.std(axis=0), centre, plane, positions, centred - positions @ plane)


def random_timbre(presets: Mapping[str, Doubles], numbers: int, seed: int) -> Doubles:
    """Return a random timbre, (timbre,). The same seed gives the same timbre.

    It is a random mix of three presets, and strays from it a little.

    Args:
        presets: timbres by name. Without any, the timbre is normally distributed.
        numbers: of a timbre.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    if not presets:
        return rng.normal(0, 1, numbers)
    timbres = np.stack(list(presets.values()))
    chosen = rng.choice(len(timbres), min(_MIXED, len(timbres)), replace=False)
    shares = rng.dirichlet(np.ones(len(chosen)))
    return np.asarray(shares @ timbres[chosen] + _STRAY * timbres.std(axis=0) * rng.normal(0, 1, numbers))


def _plain(numbers: int) -> Doubles:
    return np.eye(2, numbers)


def _projected(timbres: Doubles, plane: Doubles) -> Doubles:
    """Return the positions of timbres, seen from the centre, (..., 2)."""
    return np.asarray(timbres @ plane.T / np.maximum((plane**2).sum(axis=1), 1e-12))
