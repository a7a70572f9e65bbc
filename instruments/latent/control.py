"""Smooth the parameters of a latent instrument, tick by tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from instruments.latent.subbands import HOP, RATE
from instruments.latent.timbres import TimbreMap
from neural_fx import blocks
from neural_fx.arrays import Doubles

_RAMP_TICKS = max(1, round(blocks.SMOOTHING_SECONDS * RATE / HOP))


@dataclass(frozen=True)
class Targets:
    """What an instrument's parameters say at the moment.

    Attributes:
        knobs: gain in dB, morph, x, y, and standard deviations along each number of the timbre, (4 + timbre,).
        first: timbre of the preset, (timbre,).
        last: timbre that `morph` moves to, (timbre,).
    """

    knobs: Sequence[float]
    first: Doubles
    last: Doubles


class Steered(Protocol):
    """An instrument whose parameters are smoothed."""

    def targets(self) -> Targets:
        """Return what the parameters say at the moment."""


class SmoothedControl:
    """The parameters of an instrument, smoothed. It implements `Control` of the voices.

    Each number moves in a straight line. If nothing moves, nothing is computed.

    Args:
        instrument: whose parameters are read at every tick.
        map: of its presets.
        home: position on the map at which x and y change nothing.
    """

    def __init__(self, instrument: Steered, map: TimbreMap, home: tuple[float, float]) -> None:
        self._instrument = instrument
        self._map = map
        self._home = map.at(*home)
        self._aimed = instrument.targets()
        self._goals = _joined(self._aimed)
        self._values = self._goals.copy()
        self._steps = np.zeros(len(self._goals))
        self._left = np.zeros(len(self._goals), np.int64)
        self._moving = False
        self._timbre: Doubles | None = None

    def tick(self) -> None:
        targets = self._instrument.targets()
        aimed = self._aimed
        if targets.knobs != aimed.knobs or targets.first is not aimed.first or targets.last is not aimed.last:
            goals = _joined(targets)
            changed = goals != self._goals
            self._left[changed] = _RAMP_TICKS
            self._steps[changed] = (goals[changed] - self._values[changed]) / _RAMP_TICKS
            self._aimed, self._goals, self._moving = targets, goals, bool(self._moving or changed.any())
        if self._moving:
            self._left = np.maximum(self._left - 1, 0)
            # Computed from the end and not summed up, so that a move ends exactly at its goal.
            self._values = self._goals - self._steps * self._left
            self._moving = bool(self._left.any())
            self._timbre = None

    def timbre(self) -> Doubles:
        if self._timbre is None:
            self._timbre = moved(self._map, self._home, self._values)
        return self._timbre

    def gain_db(self) -> float:
        return float(self._values[0])


def timbre_of(targets: Targets, map: TimbreMap, home: tuple[float, float]) -> Doubles:
    """Return the timbre that parameters give, without smoothing, (timbre,).

    Args:
        targets: of the instrument.
        map: of its presets.
        home: position on the map at which x and y change nothing.
    """
    return moved(map, map.at(*home), _joined(targets))


def moved(map: TimbreMap, home: Doubles, values: Doubles) -> Doubles:
    """Return a timbre that is moved by knobs, (timbre,).

    Args:
        map: of the presets.
        home: timbre on the map at which x and y change nothing, (timbre,).
        values: knobs, first timbre and last timbre of `Targets`, one after the other.
    """
    numbers = len(home)
    morph, x, y = values[1:4]
    axes, first, last = (values[4 + i * numbers : 4 + (i + 1) * numbers] for i in range(3))
    return np.asarray(first + morph * (last - first) + map.at(x, y) - home + axes * map.spreads)


def _joined(targets: Targets) -> Doubles:
    return np.concatenate((np.asarray(targets.knobs, np.float64), targets.first, targets.last))
