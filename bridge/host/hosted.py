"""Give a board a bypass for every slot, and one table of addresses for all parameters."""

from __future__ import annotations

from typing import cast

import mido

from bridge.host.targets import SWITCH, Bypass, Knob, MacroKnob, Setting, Target, inside
from instruments import InstrumentPlayer
from neural_fx.errors import ParameterError
from neural_fx.macros import Macro, default_macros
from neural_fx.neural import NeuralProcessor
from neural_fx.parameters import Parameter, unknown_parameter
from neural_fx.pedalboard import Container, Pedalboard, Plugin
from neural_fx.slots import find_slot, known_parameters, parameter_values, slot_names
from neural_fx.values import shown, suggestion


class Hosted(Pedalboard):
    """A board whose slots can be bypassed.

    Every plugin is in a board of its own, and the mix of that board is the bypass. The macros are at ``macro/1`` and so
    on. A board file without macros gets default ones.

    Attributes:
        given: macros of the board file.
        given_names: slot names of the board file; None for a slot without one.
        generation: number of changes to the list of slots so far.
    """

    generation = 0

    def __init__(self, board: Pedalboard) -> None:
        super().__init__(mix=board.mix)
        self.name = board.name
        self.players = [plugin for plugin in board if isinstance(plugin, InstrumentPlayer)]
        for name, plugin in zip(slot_names(board), board, strict=True):
            slot = Pedalboard([plugin])
            self.append(slot)
            self.name_slot(slot, name)
        self.given = board.macros
        self.given_names = [board.given_name(plugin) for plugin in board]
        self.macros = board.macros or default_macros(self.knobs())
        shares = [macro.position(self.knobs(), self._value) for macro in self.macros]
        self._macro_table = {
            f"macro/{i}": Parameter(f"macro/{i}", 0, 1, share, description=macro.name)
            for i, (macro, share) in enumerate(zip(self.macros, shares, strict=True), 1)
        }

    def table(self) -> dict[str, Parameter | None]:
        """Return all addresses with their parameters. A parameter is None if its range is unknown."""
        return {**self.knobs(), **self._macro_table}

    def knobs(self) -> dict[str, Parameter | None]:
        """Return the addresses that macros can control: `table` without the macros."""
        found: dict[str, Parameter | None] = {"mix": self.parameters["mix"]}
        for name, slot in zip(slot_names(self), self, strict=True):
            found[f"{name}/bypass"] = SWITCH
            known = known_parameters(inside(slot))
            found |= {f"{name}/{parameter}": known.get(parameter) for parameter in parameter_values(inside(slot))}
        return found

    @property
    def takes_notes(self) -> bool:
        """Whether the board has an instrument."""
        return bool(self.players)

    @property
    def output_level(self) -> str:
        """``normalized`` if one of its captures is normalized, else ``raw``."""
        return "normalized" if _normalized(self) else "raw"

    def find(self, address: str) -> Target:
        """Return what an address controls. `Targets` keeps the result for later.

        Args:
            address: an address, in which the slot may also be a number from 1.

        Raises:
            ParameterError: there is no such slot or parameter. The message lists those that exist.
        """
        if address in self._macro_table:
            return self._macro_knob(address)
        slot, slash, name = address.rpartition("/")
        if not slash:
            if name != "mix":
                hint = suggestion(address, ["bypass", *self.table()])
                raise ParameterError(f"nothing at {shown(address)}{hint}; there is bypass, mix and SLOT/PARAM")
            return Knob("mix", self, "mix")
        holder = find_slot(self, slot)
        known = ["bypass", *parameter_values(inside(holder))]
        if name not in known:
            raise unknown_parameter(slot, name, known)
        canonical = f"{slot_names(self)[list(self).index(holder)]}/{name}"
        if name == "bypass":
            return Bypass(canonical, cast("Pedalboard", holder))
        return Knob(canonical, inside(holder), name)

    def _macro_knob(self, address: str) -> MacroKnob:
        macro = self.macros[list(self._macro_table).index(address)]
        members = tuple(cast("Setting", self.find(target.address)) for target in macro.targets)
        return MacroKnob(address, self._macro_table[address], macro, members)

    def macro(self, address: str) -> Macro | None:
        """Return the macro at a canonical address, or None if it is not the address of a macro."""
        return self.macros[list(self._macro_table).index(address)] if address in self._macro_table else None

    def value(self, address: str) -> object:
        """Return the value at a canonical address."""
        macro = self.macro(address)
        return macro.position(self.knobs(), self._value) if macro is not None else self._value(address)

    def values(self) -> dict[str, object]:
        """Return the values at all addresses of `table`. On a long board, this is much faster than one by one."""
        return {**self._knob_values(), **{address: self.value(address) for address in self._macro_table}}

    def _knob_values(self) -> dict[str, object]:
        found: dict[str, object] = {"mix": self.mix}
        for name, slot in zip(slot_names(self), self, strict=True):
            found[f"{name}/bypass"] = 1.0 - cast("Pedalboard", slot).mix
            found |= {f"{name}/{parameter}": value for parameter, value in parameter_values(inside(slot)).items()}
        return found

    def _value(self, address: str) -> object:
        slot, _, name = address.rpartition("/")
        if not slot:
            return self.mix
        holder = find_slot(self, slot)
        if name == "bypass":
            return 1.0 - cast("Pedalboard", holder).mix
        return parameter_values(inside(holder))[name]

    def apply(self, address: str, value: object) -> None:
        """Set the value at an address.

        Args:
            address: see `find`.
            value: in the parameter's own unit.

        Raises:
            ParameterError: the address is unknown, or the value is out of range or of the wrong type.
        """
        self.find(address).set(value)

    def play(self, message: mido.Message) -> None:
        """Send a MIDI message to the board's instruments."""
        for player in self.players:
            player.send(message)

    def _edited(self) -> None:
        super()._edited()
        self.generation += 1


def _normalized(plugin: Plugin) -> bool:
    if isinstance(plugin, Container):
        return any(map(_normalized, plugin))
    return isinstance(plugin, NeuralProcessor) and plugin.output_level == "normalized"
