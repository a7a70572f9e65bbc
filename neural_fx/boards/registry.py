"""The registry of kinds of slots: what a kind says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from neural_fx.boards.schema import Slot
from neural_fx.errors import BoardError
from neural_fx.pedalboard import Plugin
from neural_fx.registry import Registry
from neural_fx.sharing import everything_in

Fill: TypeAlias = Callable[[Any, Path], Plugin]
Describe: TypeAlias = Callable[[Plugin, Path], "dict[str, Any] | None"]


class FieldError(BoardError):
    """A field of a slot that cannot be used. The reader adds the file, the line and the slot.

    Args:
        problem: what is wrong, and what was expected.
        field: where in the slot, such as ``"mix"``, or ``"set", "gain_db"``.
    """

    def __init__(self, problem: str, *field: str) -> None:
        super().__init__(problem)
        self.field = field


def _fits(slot: Any) -> None:
    """Accept every slot that fits the schema."""


def _not_counted(plugin: Any) -> int | None:
    return None


@dataclass(frozen=True)
class SlotKind:
    """A kind of slot in board files.

    Attributes:
        name: field that the slot is known by, such as ``ir``.
        model: the fields. Those that name files have the type `FileName`, so that boards from the network are held to
            their folders.
        fill: function that makes the plugin for a slot. It gets the fields, and the folder that names of files are
            relative to. It raises a `NeuralFXError`, or a `FieldError` for another field than the first. If it returns
            a `Processor`, the reader applies ``set``. Otherwise `fill` does.
        describe: function that returns the fields for a plugin, with names of files relative to a folder, or None for
            a plugin of another kind. The writer adds ``name``, and ``set`` for a `Processor`.
        check: function that raises a `FieldError` for fields that fit the schema and are wrong nevertheless. It is
            called before anything is built.
        native: whether a slot runs code of other people, such as a VST3. A board from the network may then use it
            only if the worker was started with ``--allow-plugins``.
        container: whether the field `name` holds a list of slots. `fill` returns an empty `Container` for them.
        stored: function that returns how many 32-bit numbers a plugin stores for one channel, or None for a plugin of
            another kind. The size of boards from the network is limited by it.

    Raises:
        ValueError: the model has no field of this name, or all slots have one.
    """

    name: str
    model: type[Slot]
    fill: Fill
    describe: Describe
    check: Callable[[Any], None] = _fits
    native: bool = False
    container: bool = False
    stored: Callable[[Any], int | None] = _not_counted

    def __post_init__(self) -> None:
        if self.name not in self.model.model_fields or self.name in Slot.model_fields:
            raise ValueError(f"slot kind {self.name!r}: {self.model.__name__} needs a field of this name of its own")


SLOTS = Registry(
    "neural_fx.slots",
    SlotKind,
    built_in=(
        "neural_fx.boards.kinds.captures:PEDAL",
        "neural_fx.boards.kinds.captures:MODEL",
        "neural_fx.boards.kinds.timbre:TIMBRE",
        "neural_fx.boards.kinds.impulse:IR",
        "neural_fx.boards.kinds.native:PLUGIN",
        "neural_fx.boards.kinds.external:VST3",
        "neural_fx.boards.kinds.containers:CHAIN",
        "neural_fx.boards.kinds.containers:PARALLEL",
        "instruments.slot:INSTRUMENT",
        "neural_fx.boards.kinds.processors:PROCESSOR",
    ),
)
"""All kinds of slots. A plugin is described by the last kind that knows it, so those of other packages come first."""


def add_slot(kind: str, model: type[Slot], fill: Fill, describe: Describe) -> None:
    """Add a kind of slot that needs no more than this; see `SlotKind`.

    Args:
        kind: field that the slot is known by.
        model: its fields.
        fill: function that makes the plugin for a slot.
        describe: function that returns the slot for a plugin, without ``set``; None for another kind.
    """
    SLOTS.add(SlotKind(kind, model, fill, describe))


def stored_values(plugin: object) -> int:
    """Return how many 32-bit numbers a plugin, and everything in it, stores for one channel; 0 for native plugins."""
    return sum(map(_own_values, everything_in(plugin)))


def _own_values(plugin: object) -> int:
    counts = (kind.stored(plugin) for kind in reversed(list(SLOTS)))
    return next((count for count in counts if count is not None), 0)
