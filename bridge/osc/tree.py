"""What OSC addresses do: one function from a message to replies, whatever it came over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, as_message, board_from
from bridge.media import Media
from bridge.osc.packets import Message
from bridge.osc.patterns import is_pattern, matches
from bridge.rendering import Renders
from neural_fx import __version__
from neural_fx.errors import NeuralFXError, ParameterError, reason
from neural_fx.parameters import Parameter
from neural_fx.values import finite_number, suggestion

NOTES = ("note", "bend", "cc")
"""What an instrument can be told besides its parameters; ``panic`` is the fourth."""

_RAW = Parameter("raw", 0, 1, 0)

Reply = Callable[..., None]
"""``reply(address, *arguments)``: to whoever sent the message."""


@dataclass
class Tree:
    """The addresses of a worker.

    Args:
        boards: by name.
        media: where files may be read and written.
        learn: told what the next MIDI controller that moves shall move, as ``BOARD/SLOT/PARAM``.
    """

    boards: dict[str, BoardHost]
    media: Media
    learn: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        self.renders = Renders(self.media, self.boards)

    def handle(self, message: Message, reply: Reply) -> None:
        """Do what a message says; errors go back as ``/error ADDRESS SENTENCE``, never up."""
        address = message.address
        try:
            targets = [a for a in self.addresses() if matches(address, a)] if is_pattern(address) else [address]
            if not targets:
                raise ParameterError("matches no address; ask OSCQuery for all of them")
            for target in targets:
                self._one(target, message, reply)
        except (NeuralFXError, OSError, TypeError, ValueError) as error:
            reply("/error", address, reason(error))

    def addresses(self) -> list[str]:
        """Every address that a pattern can match."""
        found = ["/ping", "/render", "/midi/learn"]
        for name, host in self.boards.items():
            if host.takes_notes:
                found += [f"/{name}/{kind}" for kind in (*NOTES, "panic")]
            if not isinstance(host, InstrumentHost):
                found += [f"/{name}/load", f"/{name}/save"]
            for place in host.table():
                found.append(f"/{name}/{place}")
                if "/" in place or isinstance(host, InstrumentHost):
                    found.append(f"/{name}/{place}/raw")
        return found

    def _one(self, address: str, message: Message, reply: Reply) -> None:
        arguments = message.arguments
        match address:
            case "/ping":
                reply("/pong", __version__)
            case "/midi/learn":
                if self.learn is None:
                    raise BridgeError("there is no MIDI here")
                self.learn(_text(*_exactly(arguments, 1)))
            case "/render":
                source, target, board = (_text(a) for a in _exactly(arguments, 3))
                self.renders.start(source, target, board, reply)
            case _:
                self._board(address, message, reply)

    def _board(self, address: str, message: Message, reply: Reply) -> None:
        _, name, *rest = address.split("/")
        host = self.boards.get(name)
        if host is None or not rest:
            hint = suggestion(name, self.boards)
            raise ParameterError(
                f"no board or instrument of that name{hint}; there is: {', '.join(self.boards) or 'none'}"
            )
        place, arguments = "/".join(rest), message.arguments
        if isinstance(host, InstrumentHost) and place in ("load", "save"):
            raise ParameterError(f"{name} is an instrument; it cannot {place} boards")
        if host.takes_notes and place in (*NOTES, "panic"):
            _play(host, place, message)
        elif place == "load":
            path = self.media.existing(_text(*_exactly(arguments, 1)))
            _behind(
                lambda: host.load(board_from(path, host.output_level)),
                lambda: reply(address, path.name),
                address,
                reply,
            )
        elif place == "save":
            path = self.media.new(_text(*_exactly(arguments, 1)))
            host.save(path)
            reply(address, path.name)
        elif rest[-1] == "raw" and len(rest) == (2 if isinstance(host, InstrumentHost) else 3):
            self._raw(host, "/".join(rest[:-1]), message, reply)
        elif not arguments:
            reply(address, wire(host.value(place)))
        else:
            (value,) = _exactly(arguments, 1)
            host.set(place, value, message.when)

    def _raw(self, host: BoardHost, place: str, message: Message, reply: Reply) -> None:
        parameter = host.table().get(host.canonical(place))
        if parameter is None:
            raise ParameterError(f"{place} has no known range, so no raw value; set it in its own unit")
        if not message.arguments:
            span = parameter.maximum - parameter.minimum
            reply(message.address, (finite_number(host.value(place), place) - parameter.minimum) / span)
            return
        raw = _RAW.check(_exactly(message.arguments, 1)[0])
        host.set(place, parameter.at(raw), message.when)


def _play(host: BoardHost, kind: str, message: Message) -> None:
    if kind == "panic":
        host.panic()
    else:
        host.play(as_message(kind, message.arguments), message.when)


def _behind(work: Callable[[], None], done: Callable[[], None], address: str, reply: Reply) -> None:
    """Work that may take long, on a thread of its own."""

    def run() -> None:
        try:
            work()
            done()
        except (NeuralFXError, OSError, ValueError, RuntimeError) as error:
            reply("/error", address, reason(error))

    threading.Thread(target=run, name=address, daemon=True).start()


def _exactly(arguments: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    if len(arguments) != count:
        raise BridgeError(f"expected {count} argument{'s' * (count != 1)}, found {len(arguments)}")
    return arguments


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BridgeError(f"expected a file name, found {value!r}")
    return value


def wire(value: object) -> Any:
    """A value as an OSC argument."""
    return value if isinstance(value, str) else float(str(value))
