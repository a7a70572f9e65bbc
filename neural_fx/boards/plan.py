"""A board file that fits the schema, before and while its plugins are built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neural_fx.boards.registry import FieldError, SlotKind, stored_values
from neural_fx.boards.schema import BoardFields, MacroFields, Slot
from neural_fx.boards.source import Place, Source
from neural_fx.errors import BoardError, NeuralFXError, ParameterError
from neural_fx.interruption import checkpoint
from neural_fx.macros import Macro, Target
from neural_fx.pedalboard import Container, Pedalboard, Plugin
from neural_fx.processor import Processor
from neural_fx.slots import find_slot, parameter_table, parameter_values


@dataclass(frozen=True)
class SlotPlan:
    """A slot that fits the schema. Its plugin is not built yet.

    Attributes:
        kind: of the slot.
        slot: its fields.
        place: where it is in the file.
        inside: the slots of a container.
    """

    kind: SlotKind
    slot: Slot
    place: Place
    inside: tuple[SlotPlan, ...] = ()


@dataclass(frozen=True)
class BoardPlan:
    """A board file that fits the schema. Nothing of it is built yet, and none of the files that it names is read.

    Attributes:
        files: those that a board from the network names, without links.
    """

    files: tuple[Path, ...]
    _source: Source
    _board: BoardFields
    _slots: tuple[SlotPlan, ...]
    _macros: tuple[MacroFields, ...]

    def build(self) -> Pedalboard:
        """Return the board.

        Raises:
            BoardError: a slot cannot be filled, or the board is larger than its rules allow.
        """
        result = Pedalboard(mix=self._board.mix)
        result.name = self._board.name
        self._source.stored = 0
        _fill(result, self._slots, self._source)
        table = parameter_table(result)
        if self._source.rules is not None and len(table) > self._source.rules.most_parameters:
            most = self._source.rules.most_parameters
            self._source.fail(("slots",), f"{len(table)} parameters; a board from the network may have {most}")
        macros = enumerate(self._macros)
        result.macros = tuple(_macro(result, found, self._source, ("macros", i)) for i, found in macros)
        return result


def _fill(container: Container, slots: Sequence[SlotPlan], source: Source) -> None:
    """Build the plugins of some slots into a container."""
    for planned in slots:
        checkpoint()
        plugin = _build_slot(planned, source)
        if source.rules is not None:
            source.stored += stored_values(plugin)
            try:
                source.rules.check_size(source.stored)
            except BoardError as error:
                source.fail(planned.place, str(error))
        container.append(plugin)
        if isinstance(plugin, Container):
            _fill(plugin, planned.inside, source)
        if planned.slot.name is not None:
            container.name_slot(plugin, planned.slot.name)


def _build_slot(planned: SlotPlan, source: Source) -> Plugin:
    """Return the plugin of a slot. A container is still empty."""
    kind = planned.kind
    try:
        plugin = kind.fill(planned.slot, source.folder)
    except FieldError as error:
        source.fail((*planned.place, *error.field), str(error))
    except NeuralFXError as error:
        source.fail((*planned.place, kind.name), str(error))
    if isinstance(plugin, Processor):
        _apply_settings(planned, plugin, source)
    return plugin


def _apply_settings(planned: SlotPlan, processor: Processor, source: Source) -> None:
    for name, value in planned.slot.set.items():
        try:
            processor.set_parameter(name, value)
        except NeuralFXError as error:
            source.fail((*planned.place, "set", name), str(error))


def _macro(board: Pedalboard, found: MacroFields, source: Source, place: Place) -> Macro:
    targets = []
    for target in found.to:
        targets.append(Target(target.parameter, target.min, target.max))
    macro = Macro(found.name, tuple(targets))
    try:
        macro.values(parameter_table(board), 0.0)
        macro.position(parameter_table(board), lambda address: _value_at(board, address))
    except ParameterError as error:
        source.fail((*place, "to"), str(error))
    return macro


def _value_at(board: Pedalboard, address: str) -> object:
    """Return the value of a parameter by its address in `parameter_table`."""
    slot, _, name = address.rpartition("/")
    return parameter_values(find_slot(board, slot))[name] if slot else getattr(board, name)
