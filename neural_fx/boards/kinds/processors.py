"""Slots with a processor of another package: `- processor: tremolo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neural_fx.boards.registry import FieldError, SlotKind
from neural_fx.boards.schema import Slot
from neural_fx.errors import NeuralFXError, reason
from neural_fx.pedalboard import Plugin
from neural_fx.processor import Processor
from neural_fx.registry import Registry
from neural_fx.values import shown, suggestion


@dataclass(frozen=True)
class NamedProcessor:
    """A processor that board files call by a name.

    Attributes:
        name: such as ``tremolo``.
        kind: its class, which is called without arguments. Everything that a board file can set is a parameter.

    Raises:
        TypeError: `kind` is not a class of processors.
    """

    name: str
    kind: type[Processor]

    def __post_init__(self) -> None:
        if not (isinstance(self.kind, type) and issubclass(self.kind, Processor)):
            raise TypeError(f"processor {self.name!r}: expected a subclass of Processor, found {shown(self.kind)}")


PROCESSORS = Registry("neural_fx.processors", NamedProcessor)
"""Processors of other packages. A board file can name these and no others, so it never imports anything by itself."""


class ProcessorSlot(Slot):
    """A processor by its name in `PROCESSORS`."""

    processor: str


def _check(slot: ProcessorSlot) -> None:
    if slot.processor in PROCESSORS:
        return
    known = PROCESSORS.names()
    listed = f"known: {', '.join(known)}" if known else "no installed package has any"
    raise FieldError(
        f"unknown processor {shown(slot.processor)}{suggestion(slot.processor, known)}; {listed}", "processor"
    )


def _fill(slot: ProcessorSlot, folder: Path) -> Plugin:
    try:
        return PROCESSORS[slot.processor].kind()
    except NeuralFXError:
        raise
    except Exception as error:  # other people's code may raise anything
        raise FieldError(f"{type(error).__name__}: {reason(error)}", "processor") from None


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    name = next((known.name for known in PROCESSORS if type(plugin) is known.kind), None)
    return None if name is None else {"processor": name}


PROCESSOR = SlotKind("processor", ProcessorSlot, _fill, _describe, check=_check, native=True)
