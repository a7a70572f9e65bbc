"""Describe the circuits of the netlists and their knobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neural_fx.errors import TrainingError

FOLDER = Path(__file__).parent

AUDIO_MIDDLE = 0.15
"""Electrical position of an audio (A) taper at half a turn."""


def linear(turn: float) -> float:
    """Return the electrical position of a linear (B) taper.

    Args:
        turn: rotation, 0 to 1.

    >>> linear(0.3)
    0.3
    """
    return turn


def audio(turn: float) -> float:
    """Return the electrical position of an audio (A) taper: an exponential curve through 15 % at half a turn.

    Args:
        turn: rotation, 0 to 1.

    >>> [round(audio(turn), 3) for turn in (0, 0.5, 1)]
    [0.0, 0.15, 1.0]
    """
    base = float((1 / AUDIO_MIDDLE - 1) ** 2)
    return float((base**turn - 1) / (base - 1))


def s_shaped(turn: float) -> float:
    """Return the electrical position of an S-shaped (G or W) taper, with 10 % at a quarter turn.

    Args:
        turn: rotation, 0 to 1.

    >>> [round(s_shaped(turn), 3) for turn in (0, 0.25, 0.5, 0.75, 1)]
    [0.0, 0.1, 0.5, 0.9, 1.0]
    """
    return turn * turn / (turn * turn + (1 - turn) * (1 - turn))


@dataclass(frozen=True)
class Knob:
    """A potentiometer.

    Attributes:
        name: name of the knob and of its parameter in the netlist.
        taper: converts the rotation 0 to 1, clockwise, to the electrical position 0 to 1.
        output: whether it only divides the output, as a level or volume control.
    """

    name: str
    taper: Callable[[float], float]
    output: bool = False


@dataclass(frozen=True)
class Circuit:
    """A netlist with knobs.

    Attributes:
        name: name of the pedal on the command line.
        title: device and revision.
        netlist: file with a `.subckt` that is named as the file and has nodes `in` and `out`. 1 V is full scale.
        knobs: its knobs.
    """

    name: str
    title: str
    netlist: Path
    knobs: tuple[Knob, ...]

    @property
    def subcircuit(self) -> str:
        """Name of the subcircuit in the netlist."""
        return self.netlist.stem

    def positions(self, turns: Mapping[str, float]) -> dict[str, float]:
        """Return the electrical positions of all knobs.

        Args:
            turns: rotations 0 to 1 by knob. Missing knobs are in the middle.

        Raises:
            TrainingError: the circuit has no such knob, or a rotation is outside of 0 to 1.
        """
        known = {knob.name: knob for knob in self.knobs}
        for name, turn in turns.items():
            if name not in known:
                raise TrainingError(f"{self.name} has no knob {name!r}; it has {', '.join(known)}")
            if not (math.isfinite(turn) and 0 <= turn <= 1):
                raise TrainingError(f"{self.name}: {name} is {turn:g}; a rotation is 0 to 1")
        return {name: knob.taper(turns.get(name, 0.5)) for name, knob in known.items()}


CIRCUITS = {
    circuit.name: circuit
    for circuit in (
        Circuit(
            "tube-screamer",
            "Ibanez TS808, 1979-1981",
            FOLDER / "ts808.cir",
            (Knob("drive", audio), Knob("tone", s_shaped), Knob("level", linear, output=True)),
        ),
        Circuit(
            "ds-1",
            "Boss DS-1, dual op-amp of 1994 and later",
            FOLDER / "ds1.cir",
            (Knob("dist", linear), Knob("tone", linear), Knob("level", linear, output=True)),
        ),
        Circuit(
            "big-muff",
            "Electro-Harmonix Big Muff Pi, New York reissue",
            FOLDER / "big_muff.cir",
            (Knob("sustain", linear), Knob("tone", linear), Knob("volume", linear, output=True)),
        ),
    )
}
"""Circuits by name."""
