"""Route MIDI messages to parameters, boards and instruments.

The map can be learned from a controller that moves, and is kept in the config file. 14-bit controllers are supported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import mido
from pydantic import BaseModel, ConfigDict, Field

from bridge import limits
from bridge.errors import BridgeError
from bridge.held import Held, Sensing
from bridge.host import BoardHost, board_from
from neural_fx.errors import NeuralFXError, reason
from neural_fx.inputs import printable
from neural_fx.schema import EmptyList
from neural_fx.values import shown, suggestion


class Binding(BaseModel):
    """Bind a controller to a parameter.

    Attributes:
        cc: controller number.
        channel: MIDI channel, 1 to 16; None for any.
        to: address of the parameter, such as ``BOARD/SLOT/PARAM`` or ``BOARD/mix``.
        low, high: parameter values at the controller's ends, as shares of the parameter's range.
        fine: whether it is a 14-bit controller. `cc` (under 32) has the upper seven bits, and `cc` + 32 the lower.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cc: int = Field(ge=0, le=127)
    to: str = Field(min_length=3, max_length=limits.MIDI_ADDRESS_CHARACTERS)
    channel: int | None = Field(None, ge=1, le=16)
    low: float = Field(default=0.0, ge=0, le=1)
    high: float = Field(default=1.0, ge=0, le=1)
    fine: bool = False


class Program(BaseModel):
    """Bind a program change to a board file.

    Attributes:
        program: program number.
        board: name of the board that loads the file.
        file: board file or capture.
        channel: MIDI channel, 1 to 16; None for any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: int = Field(ge=0, le=127)
    board: str
    file: Path
    channel: int | None = Field(None, ge=1, le=16)


class Keys(BaseModel):
    """Limit an instrument to one MIDI channel.

    Attributes:
        instrument: name of the instrument.
        channel: MIDI channel, 1 to 16.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrument: str
    channel: int = Field(ge=1, le=16)


class MidiMap(BaseModel):
    """Map MIDI to parameters, boards and instruments: the ``midi`` part of a config file (see `bridge.config`).

    Attributes:
        controls: controllers that move parameters.
        programs: program changes that load boards.
        keys: channels of instruments. An instrument that is not listed hears all channels.
    """

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Keys], EmptyList] = []

    controls: Annotated[list[Binding], EmptyList] = []
    programs: Annotated[list[Program], EmptyList] = []


class Parser:
    """Split a MIDI byte stream into channel and real-time messages.

    Supports running status, which mido's parser does not. Skips system exclusive and other system common messages,
    which end running status as the standard says.
    """

    def __init__(self) -> None:
        self._status = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[mido.Message]:
        """Yield the messages that these bytes complete."""
        for byte in data:
            if byte >= 0xF8:
                if byte not in (0xF9, 0xFD):
                    yield mido.Message.from_bytes([byte])
            elif byte >= 0x80:
                self._status = byte if byte < 0xF0 else 0
                self._data.clear()
            elif self._status:
                self._data.append(byte)
                if len(self._data) == (1 if self._status & 0xE0 == 0xC0 else 2):
                    yield mido.Message.from_bytes([self._status, *self._data])
                    self._data.clear()


class MidiRouter:
    """Apply MIDI messages to boards and instruments.

    Args:
        boards: boards and instruments by name.
        midi: MIDI map.
        log: called with a sentence when a message cannot be applied.
        learned: called with the new map when a controller was learned.
    """

    def __init__(
        self,
        boards: Mapping[str, BoardHost],
        midi: MidiMap,
        log: Callable[[str], None] = lambda sentence: None,
        learned: Callable[[MidiMap], None] = lambda midi: None,
    ) -> None:
        self.boards, self.midi, self.log, self.learned = boards, midi, log, learned
        self.learning: str | None = None
        self._upper: dict[tuple[int, int], int] = {}
        self._lower: dict[tuple[int, int], int] = {}
        self._parsers: dict[object, Parser] = {}
        self._held: dict[object, Held] = {}
        self._sensing = Sensing(self.release)
        self.ignored = 0

    def learn(self, address: str) -> None:
        """Bind the next controller that moves to an address.

        Args:
            address: ``BOARD/SLOT/PARAM``.

        Raises:
            NeuralFXError: no board has this address.
        """
        address = address.strip("/")
        host, place = self._find(address)
        host.canonical(place)
        if len(address) > limits.MIDI_ADDRESS_CHARACTERS:
            most = limits.MIDI_ADDRESS_CHARACTERS
            raise BridgeError(f"an address of {len(address)} characters; at most {most} can be learned")
        self.learning = address

    def feed(self, data: bytes, source: object = None, offset: int = 0) -> None:
        """Handle raw bytes from a port, with or without running status.

        Args:
            data: any part of the port's byte stream.
            source: the port. Messages from an instrument's own port go to that instrument only.
            offset: frames from the start of the next block.
        """
        for message in self._parsers.setdefault(source, Parser()).feed(data):
            self.handle(message, source, offset)

    def handle(self, message: mido.Message, source: object = None, offset: int = 0) -> None:
        """Apply a message. Ignores messages that are not mapped.

        Args:
            message: the message.
            source: the port that it came from.
            offset: frames from the start of the next block.
        """
        self._sensing.hear(source, message)
        self._held.setdefault(source, Held()).follow(message)
        played = self._play(message, source, offset)
        if message.type == "control_change":
            self._control(message)
        elif message.type == "program_change":
            self._program(message)
        elif not played:  # clock, active sensing, notes without an instrument
            self.ignored += 1

    def release(self, source: object = None) -> None:
        """Release the keys, pedals and bends that a port holds, because its sender has disconnected."""
        self._parsers.pop(source, None)
        for message in self._held.pop(source, Held()).release():
            self._play(message, source, 0)

    def _play(self, message: mido.Message, source: object, offset: int) -> bool:
        """Pass a channel message to the instruments on its channel, and a reset to all instruments."""
        everywhere = message.type == "reset"
        if not everywhere and (not hasattr(message, "channel") or message.type == "program_change"):
            return False
        port = self.boards.get(str(source))
        if port is not None and port.takes_notes:
            port.play(message, offset=offset)
            return True
        only = {keys.instrument: keys.channel for keys in self.midi.keys}
        heard = False
        for name, host in self.boards.items():
            if host.takes_notes and (everywhere or only.get(name, message.channel + 1) == message.channel + 1):
                host.play(message)
                heard = True
        return heard

    def _control(self, message: mido.Message) -> None:
        channel, number, value = message.channel + 1, message.control, message.value
        if self.learning is not None:
            if 32 <= number < 64 and (channel, number - 32) in self._upper:
                return  # the lower half of a 14-bit controller whose upper half is already bound
            self._bind(Binding(cc=number, to=self.learning, channel=channel))
        if number < 32:
            self._upper[channel, number] = value
            self._lower.pop((channel, number), None)  # as in the standard, a new upper half sets the lower one to zero
        elif number < 64:
            self._lower[channel, number - 32] = value
        for binding in self.midi.controls:
            if binding.channel not in (None, channel):
                continue
            if binding.fine and number in (binding.cc, binding.cc + 32):
                upper = self._upper.get((channel, binding.cc), 0)
                lower = self._lower.get((channel, binding.cc), 127 if upper == 127 else 0)
                self._move(binding, (128 * upper + lower) / 16383)
            elif not binding.fine and number == binding.cc:
                self._move(binding, value / 127)

    def _bind(self, binding: Binding) -> None:
        others = [
            b for b in self.midi.controls if b.to != binding.to and (b.cc, b.channel) != (binding.cc, binding.channel)
        ]
        self.midi = self.midi.model_copy(update={"controls": [*others, binding]})
        self.learning = None
        self.learned(self.midi)

    def _move(self, binding: Binding, share: float) -> None:
        try:
            host, place = self._find(binding.to)
            parameter = host.parameter(place)
            raw = binding.low + share * (binding.high - binding.low)
            if parameter is not None:
                raw = parameter.at(raw)
            host.set(place, raw)
        except NeuralFXError as error:
            self.log(f"MIDI controller {binding.cc}: {error}")

    def _program(self, message: mido.Message) -> None:
        for program in self.midi.programs:
            if program.program == message.program and program.channel in (None, message.channel + 1):
                host = self.boards.get(program.board)
                if host is None:
                    hint = suggestion(program.board, self.boards)
                    self.log(f"MIDI program {program.program}: no board {program.board!r}{hint}")
                    return
                self._load(host, program)

    def _load(self, host: BoardHost, program: Program) -> None:
        """Load a program's board, which the user's own config names, so that it may use any file."""
        host.load_soon(
            lambda: board_from(program.file, host.output_level),
            lambda: self.log(f"{host.name}: program {program.program}, {printable(program.file.name)}"),
            lambda sentence: self.log(f"MIDI program {program.program}: {printable(sentence)}"),
        )

    def _find(self, address: str) -> tuple[BoardHost, str]:
        name, _, place = address.strip("/").partition("/")
        if name not in self.boards or not place:
            raise BridgeError(
                f"{shown(address)}: expected BOARD/SLOT/PARAM; boards: {', '.join(self.boards) or 'none'}"
            )
        return self.boards[name], place


def open_port(name: str, router: MidiRouter) -> Any:
    """Open a MIDI input port of this machine, and pass its messages to a router.

    Args:
        name: the port's name or a part of it, in any case.
        router: receives the messages.

    Raises:
        BridgeError: python-rtmidi is missing, no port has this name, or the port cannot be opened. The message lists
            the ports.
    """
    try:
        names = mido.get_input_names()
    except Exception as error:  # the backend is missing, or the system has no MIDI
        raise BridgeError(f"no MIDI ports: {reason(error)}; pip install 'neural-fx[live]'") from None
    found = [n for n in names if name.lower() in n.lower()]
    if not found:
        raise BridgeError(f"no MIDI port {name!r}; there is: {', '.join(names) or 'none'}")
    try:
        return mido.open_input(found[0], callback=router.handle)
    except Exception as error:  # each system's driver has errors of its own, such as for a port in use
        raise BridgeError(f"MIDI port {found[0]!r} cannot be opened: {reason(error)}") from None
