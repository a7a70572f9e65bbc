"""The bundled pedals: a class each in pedalboard's idiom, its weights and its data card beside it.

>>> sorted(PEDALS)
['klon-gain-stage']
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, ClassVar

from neural_fx.errors import NeuralFXError
from neural_fx.formats import read
from neural_fx.neural import NeuralProcessor

DATA = Path(__file__).parent / "data"


class Pedal(NeuralProcessor):
    """A bundled capture. Subclasses name their files in `data/`: `SLUG.nam` and `SLUG.card.json`."""

    SLUG: ClassVar[str]

    def __init__(self, *, level: str = "raw", device: str = "auto", **parameters: float) -> None:
        super().__init__(read(DATA / f"{self.SLUG}.nam"), level=level, device=device, **parameters)

    @classmethod
    def card(cls) -> dict[str, Any]:
        """The data card: what it models, from which data, whom to thank, and how well."""
        card: dict[str, Any] = json.loads((DATA / f"{cls.SLUG}.card.json").read_text(encoding="utf-8"))
        return card


class KlonGainStage(Pedal):
    """The gain stage of a Klon-style overdrive with its gain at noon, from a circuit simulation."""

    SLUG = "klon-gain-stage"


PEDALS: dict[str, type[Pedal]] = {pedal.SLUG: pedal for pedal in (KlonGainStage,)}


def make_pedal(name: str, level: str = "raw") -> Pedal:
    """A bundled pedal by its name on the command line.

    Raises:
        NeuralFXError: there is none of that name; lists them.
    """
    if name not in PEDALS:
        near = [slug for slug in PEDALS if name.lower() in slug] or difflib.get_close_matches(name, PEDALS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise NeuralFXError(f"unknown pedal {name!r}{hint}; bundled: {', '.join(PEDALS)}")
    return PEDALS[name](level=level)
