"""Move a timbre: between two presets, along its own axes, and over a plane in which all presets lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neural_fx.arrays import Doubles


@dataclass(frozen=True)
class TimbreMap:
    """Axes in the space of timbres, measured on presets.

    Attributes:
        spreads: standard deviation of the presets along each number of a timbre, (timbre,); 1 without presets.
        plane: the two directions in which presets differ most, (2, timbre). Each is one standard deviation long.
    """

    spreads: Doubles
    plane: Doubles

    def moved(self, timbre: Doubles, x: float, y: float, axes: Doubles) -> Doubles:
        """Return a timbre that is moved, (timbre,).

        Args:
            timbre: to begin with.
            x: standard deviations along the first direction.
            y: the same along the second.
            axes: standard deviations along each number of the timbre, (timbre,).
        """
        return np.asarray(timbre + axes * self.spreads + x * self.plane[0] + y * self.plane[1])

    def position(self, timbre: Doubles, origin: Doubles) -> tuple[float, float]:
        """Return where a timbre lies in the plane, as seen from another one.

        Args:
            timbre: whose place is wanted.
            origin: the timbre at (0, 0).
        """
        lengths = np.maximum((self.plane**2).sum(axis=1), 1e-12)
        x, y = self.plane @ (timbre - origin) / lengths
        return float(x), float(y)


def timbre_map(presets: Mapping[str, Doubles], numbers: int) -> TimbreMap:
    """Return the map of some presets.

    Args:
        presets: timbres by name.
        numbers: of a timbre.
    """
    if len(presets) < 3:
        return TimbreMap(np.ones(numbers), np.eye(2, numbers))
    timbres = np.stack(list(presets.values()))
    centred = timbres - timbres.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    # The sign of a direction is arbitrary: its largest number shall be positive.
    signs = np.sign(directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)])
    plane = directions[:2] * (signs * sizes[:2])[:, None] / np.sqrt(len(presets))
    return TimbreMap(timbres.std(axis=0), plane)
