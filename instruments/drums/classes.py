"""Name the classes of drums, and say which key of General MIDI's drum map plays which of them."""

from __future__ import annotations

from typing import NamedTuple

CLASSES = (
    "kick",
    "snare",
    "rim",
    "clap",
    "closed_hat",
    "open_hat",
    "low_tom",
    "mid_tom",
    "high_tom",
    "crash",
    "ride",
    "cowbell",
    "shaker",
    "tambourine",
)
"""All classes of drums. Their order is that of the network's inputs."""


class Piece(NamedTuple):
    """What a key plays.

    Attributes:
        drum: name of the class.
        variant: number of the sound within the class. Each variant is another drum, such as a second crash.
    """

    drum: str
    variant: int = 0


GENERAL_MIDI = {
    35: Piece("kick", 1),
    36: Piece("kick"),
    37: Piece("rim"),
    38: Piece("snare"),
    39: Piece("clap"),
    40: Piece("snare", 1),
    41: Piece("low_tom", 1),
    42: Piece("closed_hat"),
    43: Piece("low_tom"),
    44: Piece("closed_hat", 1),
    45: Piece("mid_tom", 1),
    46: Piece("open_hat"),
    47: Piece("mid_tom"),
    48: Piece("high_tom", 1),
    49: Piece("crash"),
    50: Piece("high_tom"),
    51: Piece("ride"),
    52: Piece("crash", 2),
    53: Piece("ride", 1),
    54: Piece("tambourine"),
    55: Piece("crash", 3),
    56: Piece("cowbell"),
    57: Piece("crash", 1),
    59: Piece("ride", 2),
    69: Piece("shaker", 1),
    70: Piece("shaker"),
    82: Piece("shaker", 2),
}
"""The keys of General MIDI's drum map that a kit plays. Other keys are silent."""

CHOKED_BY = {"open_hat": "closed_hat"}
"""The classes that another class ends, because both are one instrument."""
