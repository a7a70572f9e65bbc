"""Instruments that the worker hosts: boards of one slot, with flat addresses, that take notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import mido

from bridge.errors import BridgeError
from bridge.hosting import BoardHost, Change, Hosted, inside
from instruments import DDSP, Instrument, InstrumentPlayer
from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard

PLAY = "note"
"""The address of a change that is a MIDI message."""


class HostedInstrument(Hosted):
    """A board of one instrument whose parameters have no slot in their addresses."""

    takes_notes = True

    @property
    def player(self) -> InstrumentPlayer:
        """What is in the slot."""
        return cast("InstrumentPlayer", inside(self[0]))

    def table(self) -> dict[str, Parameter | None]:
        return {"mix": self.parameters["mix"], **self.player.parameters}

    def canonical(self, address: str) -> str:
        if address not in self.table() and address != PLAY:
            raise ParameterError(f"nothing at {address!r}; there is: bypass, {', '.join(self.table())}")
        return address

    def value(self, address: str) -> object:
        return self.mix if address == "mix" else getattr(self.player, address)

    def apply(self, address: str, value: object) -> None:
        if isinstance(value, mido.Message):
            self.player.send(value)
        elif address == "mix":
            self.set_parameter("mix", value)
        else:
            self.player.set_parameter(address, value)


class InstrumentHost(BoardHost):
    """A named instrument.

    Args:
        name: as OSC addresses and clients say it.
        make: builds the instrument, as `BoardHost` builds boards.
        notify: told (name, sentence) when a stream fails.

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

    def play(self, message: mido.Message, when: float = 0.0, offset: int = 0) -> None:
        """Send a MIDI message to all streams: at once, `offset` frames into the next block, or at the time `when`."""
        with self.lock:
            for stream in self.streams:
                stream.change(Change(PLAY, message, offset, when))

    def panic(self) -> None:
        """Release everything."""
        for channel in range(16):
            for number, value in ((64, 0), (123, 0), (121, 0)):
                self.play(mido.Message("control_change", channel=channel, control=number, value=value))


def instrument_from(timbre: str) -> Callable[[], Instrument]:
    """A builder of instruments from the name of a bundled timbre or the path of a timbre file.

    Raises:
        NeuralFXError: there is no such timbre.
    """
    DDSP(timbre)
    return lambda: DDSP(timbre)


def as_message(kind: str, arguments: tuple[object, ...]) -> mido.Message:
    """A MIDI message from an OSC address: ``note PITCH VELOCITY``, ``bend -1..1``, ``cc NUMBER 0..127``.

    Raises:
        BridgeError: the arguments do not fit.
    """
    wanted = {"note": 2, "bend": 1, "cc": 2}[kind]
    if len(arguments) != wanted or not all(isinstance(a, (int, float)) for a in arguments):
        raise BridgeError(f"{kind}: expected {wanted} number{'s' * (wanted > 1)}, found {list(arguments)!r}")
    values = [float(cast("float", a)) for a in arguments]
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
