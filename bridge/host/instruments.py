"""Host instruments in the worker. Each is a board with one slot, and its addresses have no slot name."""

from __future__ import annotations

from collections.abc import Callable

import mido

from bridge.errors import BridgeError
from bridge.host.board import BoardHost
from bridge.host.hosted import Hosted
from bridge.host.targets import Knob, Target
from instruments import Instrument, InstrumentPlayer
from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard
from neural_fx.values import finite_number, shown, suggestion


class HostedInstrument(Hosted):
    """A board of one instrument. Its addresses have no slot name."""

    @property
    def player(self) -> InstrumentPlayer:
        """The instrument in the slot."""
        return self.players[0]

    def knobs(self) -> dict[str, Parameter | None]:
        return {"mix": self.parameters["mix"], **self.player.parameters}

    def find(self, address: str) -> Target:
        if address in self._macro_table:
            return self._macro_knob(address)
        if address not in self.knobs():
            hint = suggestion(address, ["bypass", *self.table()])
            raise ParameterError(f"nothing at {shown(address)}{hint}; there is: bypass, {', '.join(self.table())}")
        return Knob(address, self if address == "mix" else self.player, address)

    def _knob_values(self) -> dict[str, object]:
        return {address: self._value(address) for address in self.knobs()}

    def _value(self, address: str) -> object:
        return self.mix if address == "mix" else getattr(self.player, address)


class InstrumentHost(BoardHost):
    """A named instrument.

    Args:
        name: name in OSC addresses and for clients.
        make: builds the instrument. It is called once for the table and once for every stream.
        notify: called with (name, sentence) when a stream fails.

    Raises:
        NeuralFXError: the instrument cannot be built.
    """

    hosted = HostedInstrument

    def __init__(
        self,
        name: str,
        make: Callable[[], Instrument],
        notify: Callable[[str, str], None] = lambda name, sentence: None,
    ) -> None:
        super().__init__(name, lambda: Pedalboard([InstrumentPlayer(make())]), notify)


def as_message(kind: str, arguments: tuple[object, ...]) -> mido.Message:
    """Convert an OSC message for notes to MIDI.

    Args:
        kind: ``note``, ``bend`` or ``cc``.
        arguments: pitch and velocity of a note (0 to 127), a bend (-1 to 1), or number and value of a controller (0 to
            127).

    Raises:
        BridgeError: the number of arguments is wrong, or an argument is out of range.
        ParameterError: an argument is not a finite number.
    """
    wanted = {"note": 2, "bend": 1, "cc": 2}[kind]
    if len(arguments) != wanted or not all(isinstance(argument, (int, float)) for argument in arguments):
        raise BridgeError(f"{kind}: expected {wanted} number{'s' * (wanted > 1)}, found {shown(list(arguments))}")
    values = [finite_number(argument, kind, text=False) for argument in arguments]
    if kind == "bend":
        if not -1 <= values[0] <= 1:
            raise BridgeError(f"bend: {values[0]:g} is outside -1 to 1")
        return mido.Message("pitchwheel", pitch=round(values[0] * (8191 if values[0] > 0 else 8192)))
    first, second = (round(v) for v in values)
    if not (0 <= first <= 127 and 0 <= second <= 127):
        raise BridgeError(f"{kind}: {first} {second}: expected 0 to 127 each")
    if kind == "cc":
        return mido.Message("control_change", control=first, value=second)
    return mido.Message("note_on", note=first, velocity=second)
