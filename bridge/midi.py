"""MIDI to parameters and boards: a map that can be learned, kept in a file, and 14-bit controllers done right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import mido
from pydantic import BaseModel, ConfigDict, Field

from bridge.errors import BridgeError
from bridge.held import Held, Sensing
from bridge.host import BoardHost, board_from
from neural_fx.errors import NeuralFXError, reason
from neural_fx.inputs import printable
from neural_fx.schema import EmptyList
from neural_fx.values import suggestion


class Binding(BaseModel):
    """A controller that moves a parameter.

    Attributes:
        cc: controller number.
        channel: 1 to 16; None: any.
        to: ``BOARD/SLOT/PARAM``, ``BOARD/mix``, ...
        low, high: what 0 and the controller's end stand for, as shares of the parameter's range.
        fine: a 14-bit controller: `cc` (under 32) has the upper seven bits, `cc` + 32 the lower.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cc: int = Field(ge=0, le=127)
    to: str = Field(min_length=3, max_length=256)
    channel: int | None = Field(None, ge=1, le=16)
    low: float = Field(default=0.0, ge=0, le=1)
    high: float = Field(default=1.0, ge=0, le=1)
    fine: bool = False


class Program(BaseModel):
    """A program change that loads a board."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    program: int = Field(ge=0, le=127)
    board: str
    file: Path
    channel: int | None = Field(None, ge=1, le=16)


class Keys(BaseModel):
    """An instrument that only listens to one channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrument: str
    channel: int = Field(ge=1, le=16)


class MidiMap(BaseModel):
    """What MIDI does: the ``midi`` part of a worker's config file, see `bridge.config`.

    Attributes:
        controls: controllers that move parameters.
        programs: program changes that load boards.
        keys: channels of instruments; those not named hear all.
    """

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Keys], EmptyList] = []

    controls: Annotated[list[Binding], EmptyList] = []
    programs: Annotated[list[Program], EmptyList] = []


class Parser:
    """Cuts a MIDI byte stream into channel and real-time messages, with running status (mido's parser has none).

    System exclusive and other system messages are passed over; they end running status, as the standard says.
    """

    def __init__(self) -> None:
        self._status = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[mido.Message]:
        """The messages that these bytes complete."""
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
    """Carries MIDI messages to boards.

    Args:
        boards: by name.
        midi: the map.
        log: told what could not be done.
        learned: told the new map when a controller was learned.
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
        """Bind the next controller that moves to ``BOARD/SLOT/PARAM``.

        Raises:
            NeuralFXError: there is no such address.
        """
        host, place = self._find(address)
        host.canonical(place)
        self.learning = address

    def feed(self, data: bytes, source: object = None, offset: int = 0) -> None:
        """Take raw bytes from a port, running status and all.

        Args:
            data: any part of the stream.
            source: the port. The messages from an instrument's own port are for that instrument only.
            offset: frames into the next block.
        """
        for message in self._parsers.setdefault(source, Parser()).feed(data):
            self.handle(message, source, offset)

    def handle(self, message: mido.Message, source: object = None, offset: int = 0) -> None:
        """Do what a message says; what is not mapped is passed over."""
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
        """Release the keys, pedals and bends that a port holds; its sender is gone."""
        self._parsers.pop(source, None)
        for message in self._held.pop(source, Held()).release():
            self._play(message, source, 0)

    def _play(self, message: mido.Message, source: object, offset: int) -> bool:
        """Pass a channel's message to the instruments that hear it, and a reset to all."""
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
                return  # the lower half of a 14-bit controller whose upper half is bound already
            self._bind(Binding(cc=number, to=self.learning, channel=channel))
        if number < 32:
            self._upper[channel, number] = value
            self._lower.pop((channel, number), None)  # a new upper half begins at zero
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
            parameter = host.table()[host.canonical(place)]
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
            raise BridgeError(f"{address!r}: expected BOARD/SLOT/PARAM; boards: {', '.join(self.boards) or 'none'}")
        return self.boards[name], place


def open_port(name: str, router: MidiRouter) -> Any:
    """A MIDI input port of this machine, by (part of) its name, feeding a router.

    Raises:
        BridgeError: python-rtmidi is missing, the port cannot be opened, or there is none of that name; lists them.
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
