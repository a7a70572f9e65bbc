"""What the netlists model, and what their knobs do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neural_fx.errors import TrainingError

FOLDER = Path(__file__).parent

AUDIO_MIDDLE = 0.15
"""Where an audio (A) taper stands at half a turn."""


def linear(turn: float) -> float:
    """B taper.

    >>> linear(0.3)
    0.3
    """
    return turn


def audio(turn: float) -> float:
    """A taper: an exponential curve through 15 % at half a turn.

    >>> [round(audio(turn), 3) for turn in (0, 0.5, 1)]
    [0.0, 0.15, 1.0]
    """
    base = float((1 / AUDIO_MIDDLE - 1) ** 2)
    return float((base**turn - 1) / (base - 1))


def s_shaped(turn: float) -> float:
    """G (also W) taper: flat at both ends, steep in the middle; 10 % at a quarter turn.

    >>> [round(s_shaped(turn), 3) for turn in (0, 0.25, 0.5, 0.75, 1)]
    [0.0, 0.1, 0.5, 0.9, 1.0]
    """
    return turn * turn / (turn * turn + (1 - turn) * (1 - turn))


@dataclass(frozen=True)
class Knob:
    """A potentiometer: rotation 0..1, clockwise, to electrical position 0..1.

    Attributes:
        output: whether it does nothing but divide the output (a level or volume control).
    """

    name: str
    taper: Callable[[float], float]
    output: bool = False


@dataclass(frozen=True)
class Circuit:
    """A netlist with knobs.

    Attributes:
        name: of the subcircuit and of the pedal on the command line.
        title: which unit and revision it is.
        netlist: file with `.subckt`, nodes `in` and `out`; 1 V is digital full scale.
    """

    name: str
    title: str
    netlist: Path
    knobs: tuple[Knob, ...]

    @property
    def subcircuit(self) -> str:
        return self.netlist.stem

    def positions(self, turns: Mapping[str, float]) -> dict[str, float]:
        """Electrical positions of all knobs; those not named stand at noon.

        Raises:
            TrainingError: an unknown knob, or a rotation outside 0..1.
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
"""The circuits by name."""
