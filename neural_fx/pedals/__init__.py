"""The bundled pedals: a class each in pedalboard's idiom, its weights and its data card beside it.

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
    """A bundled capture. Subclasses name their files in `data/`: the capture and, beside it, its `.card.json`.

    Args:
        level, device, oversample: as for `NeuralProcessor`.
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
        """The bundled capture."""
        return read(DATA / cls.FILE)

    @classmethod
    def card(cls) -> dict[str, Any]:
        """The data card: what it models, from which data, whom to thank, and how well."""
        card: dict[str, Any] = json.loads((DATA / f"{cls.SLUG}.card.json").read_text(encoding="utf-8"))
        return card


class KlonGainStage(Pedal):
    """The gain stage of a Klon-style overdrive with its gain at noon, from a circuit simulation."""

    SLUG, FILE = "klon-gain-stage", "klon-gain-stage.nam"


class TubeScreamer(Pedal):
    """An Ibanez TS808 Tube Screamer: a nominal unit of its schematic, simulated at all positions of its knobs.

    Args:
        drive, tone, level: rotations 0..1, clockwise; an audio, an S-shaped and a linear taper.
    """

    SLUG, FILE = "tube-screamer", "tube-screamer.safetensors"
    drive: float
    tone: float

    def __init__(self, drive: float = 0.5, tone: float = 0.5, level: float | str = 0.5, **options: Any) -> None:
        super().__init__(drive=drive, tone=tone, level=level, **options)


class DS1(Pedal):
    """A Boss DS-1 Distortion: a nominal unit of its schematic, simulated at all positions of its knobs.

    Args:
        dist, tone, level: rotations 0..1, clockwise; linear tapers.
    """

    SLUG, FILE = "ds-1", "ds-1.safetensors"
    dist: float
    tone: float

    def __init__(self, dist: float = 0.5, tone: float = 0.5, level: float | str = 0.5, **options: Any) -> None:
        super().__init__(dist=dist, tone=tone, level=level, **options)


class BigMuff(Pedal):
    """An Electro-Harmonix Big Muff Pi: a nominal unit of its schematic, simulated at all positions of its knobs.

    Args:
        sustain, tone, volume: rotations 0..1, clockwise; linear tapers.
    """

    SLUG, FILE = "big-muff", "big-muff.safetensors"
    sustain: float
    tone: float
    volume: float

    def __init__(self, sustain: float = 0.5, tone: float = 0.5, volume: float = 0.5, **options: Any) -> None:
        super().__init__(sustain=sustain, tone=tone, volume=volume, **options)


PEDALS: dict[str, type[Pedal]] = {pedal.SLUG: pedal for pedal in (TubeScreamer, DS1, BigMuff, KlonGainStage)}


def make_pedal(name: str, level: str = "raw", oversample: int = 1) -> Pedal:
    """A bundled pedal by its name on the command line; `level` and `oversample` as for `NeuralProcessor`.

    Raises:
        NeuralFXError: there is none of that name; lists them.
    """
    if name not in PEDALS:
        near = [slug for slug in PEDALS if name.lower() in slug] or difflib.get_close_matches(name, PEDALS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise NeuralFXError(f"unknown pedal {name!r}{hint}; bundled: {', '.join(PEDALS)}")
    return PEDALS[name](level=level, oversample=oversample)
