"""Provide the bundled pedals. Each is a class in the style of pedalboard, with its weights and a data card.

>>> sorted(PEDALS)
['big-muff', 'ds-1', 'klon-gain-stage', 'tube-screamer']
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, ClassVar

from neural_fx.errors import NeuralFXError
from neural_fx.formats import Capture, read
from neural_fx.neural import NeuralProcessor

DATA = Path(__file__).parent / "data"


class Pedal(NeuralProcessor):
    """A bundled capture. Subclasses name their files in `data/`: the capture, and its data card `SLUG.card.json`.

    Args:
        level: the output level, as for `NeuralProcessor`.
        device: where it runs, as for `NeuralProcessor`.
        oversample: 1, 2, 4 or 8, as for `NeuralProcessor`.
        parameters: the pedal's knobs as rotations 0..1, and `input_gain_db` and `output_gain_db`.

    Raises:
        ParameterError: an unknown parameter or a value out of range.
    """

    SLUG: ClassVar[str]
    FILE: ClassVar[str]

    def __init__(
        self, *, level: str | float = "raw", device: str = "auto", oversample: int = 1, **parameters: float
    ) -> None:
        super().__init__(self.file(), level=level, device=device, oversample=oversample, **parameters)

    @classmethod
    def file(cls) -> Capture:
        """Read the bundled capture."""
        return read(DATA / cls.FILE)

    @classmethod
    def card(cls) -> dict[str, Any]:
        """Return the data card: what is modelled, from which data, with which credits, and how well."""
        card: dict[str, Any] = json.loads((DATA / f"{cls.SLUG}.card.json").read_text(encoding="utf-8"))
        return card


class KlonGainStage(Pedal):
    """The gain stage of a Klon-style overdrive with its gain knob at noon, from a circuit simulation."""

    SLUG, FILE = "klon-gain-stage", "klon-gain-stage.nam"


class TubeScreamer(Pedal):
    """An Ibanez TS808 Tube Screamer with nominal parts, simulated from its schematic at all knob positions.

    Args:
        drive: rotation 0..1, clockwise, with an audio taper.
        tone: rotation 0..1, clockwise, with an S-shaped taper.
        level: rotation 0..1, clockwise, with a linear taper.
        options: as for `Pedal`.
    """

    SLUG, FILE = "tube-screamer", "tube-screamer.safetensors"
    drive: float
    tone: float

    def __init__(self, drive: float = 0.5, tone: float = 0.5, level: float | str = 0.5, **options: Any) -> None:
        super().__init__(drive=drive, tone=tone, level=level, **options)


class DS1(Pedal):
    """A Boss DS-1 Distortion with nominal parts, simulated from its schematic at all knob positions.

    All knobs have linear tapers.

    Args:
        dist: rotation 0..1, clockwise.
        tone: rotation 0..1, clockwise.
        level: rotation 0..1, clockwise.
        options: as for `Pedal`.
    """

    SLUG, FILE = "ds-1", "ds-1.safetensors"
    dist: float
    tone: float

    def __init__(self, dist: float = 0.5, tone: float = 0.5, level: float | str = 0.5, **options: Any) -> None:
        super().__init__(dist=dist, tone=tone, level=level, **options)


class BigMuff(Pedal):
    """An Electro-Harmonix Big Muff Pi with nominal parts, simulated from its schematic at all knob positions.

    All knobs have linear tapers.

    Args:
        sustain: rotation 0..1, clockwise.
        tone: rotation 0..1, clockwise.
        volume: rotation 0..1, clockwise.
        options: as for `Pedal`.
    """

    SLUG, FILE = "big-muff", "big-muff.safetensors"
    sustain: float
    tone: float
    volume: float

    def __init__(self, sustain: float = 0.5, tone: float = 0.5, volume: float = 0.5, **options: Any) -> None:
        super().__init__(sustain=sustain, tone=tone, volume=volume, **options)


PEDALS: dict[str, type[Pedal]] = {pedal.SLUG: pedal for pedal in (TubeScreamer, DS1, BigMuff, KlonGainStage)}


def make_pedal(name: str, level: str = "raw", oversample: int = 1) -> Pedal:
    """Make a bundled pedal by its name on the command line.

    Args:
        name: one of `PEDALS`.
        level: as for `NeuralProcessor`.
        oversample: as for `NeuralProcessor`.

    Raises:
        NeuralFXError: there is no pedal of that name. Lists them.
    """
    if name not in PEDALS:
        near = [slug for slug in PEDALS if name.lower() in slug] or difflib.get_close_matches(name, PEDALS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise NeuralFXError(f"unknown pedal {name!r}{hint}; bundled: {', '.join(PEDALS)}")
    return PEDALS[name](level=level, oversample=oversample)
