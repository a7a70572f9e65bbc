"""What OSC addresses do: one function from a message to replies, whatever it came over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, as_message, board_named
from bridge.media import BOARD_SUFFIXES, Media
from bridge.osc.packets import Message
from bridge.osc.patterns import is_pattern, matching
from bridge.rendering import Renders, never
from neural_fx import __version__
from neural_fx.errors import ParameterError, reason
from neural_fx.inputs import printable
from neural_fx.parameters import Parameter
from neural_fx.values import finite_number, shown, suggestion

NOTES = ("note", "bend", "cc")
"""What an instrument can be told besides its parameters; ``panic`` is the fourth."""

MOST_MATCHES = 1024
"""Addresses that one pattern may stand for, and so replies to one message."""
MOST_ERROR = 2000
"""Characters of an error reply."""

_RAW = Parameter("raw", 0, 1, 0)

Reply = Callable[..., None]
"""``reply(address, *arguments)``: to whoever sent the message."""


@dataclass(frozen=True)
class Asker:
    """Who sent a message.

    Attributes:
        reply: answers them.
        abandoned: asked whether they are gone, which ends what they started.
        peer: tells them apart from others; None if that is not known.
    """

    reply: Reply
    abandoned: Callable[[], bool] = never
    peer: object = None


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

    def handle(
        self, message: Message, reply: Reply, abandoned: Callable[[], bool] = never, peer: object = None
    ) -> None:
        """Do what a message says; errors go back as ``/error ADDRESS SENTENCE``, never up.

        Args:
            message: what was sent.
            reply: answers the sender.
            abandoned: asked, while a render runs, whether the sender is gone; then it ends.
            peer: tells senders apart, for what each may have waiting; None if that is not known.
        """
        asker = Asker(reply, abandoned, peer)
        try:
            for target in self._targets(message.address):
                self._one(target, message, asker)
        except Exception as error:  # plugins by anyone can raise anything, and the next message must be heard
            reply("/error", printable(message.address), self._sentence(reason(error)))

    def close(self) -> None:
        """End the renders."""
        self.renders.close()

    def _targets(self, address: str) -> list[str]:
        """Return the addresses that one stands for.

        Raises:
            NeuralFXError: a pattern that matches none, or too many.
        """
        if not is_pattern(address):
            return [address]
        found = matching(address, self.addresses())
        if not found:
            raise ParameterError("matches no address; ask OSCQuery for all of them")
        if len(found) > MOST_MATCHES:
            raise ParameterError(f"matches {len(found)} addresses; a message may match {MOST_MATCHES}")
        return found

    def _sentence(self, text: str) -> str:
        """Return an error as it may be sent: printable, of bounded length, and without the media folders' places."""
        text = printable(self.media.without_folders(text))
        return text if len(text) <= MOST_ERROR else text[: MOST_ERROR - 3] + "..."

    def addresses(self) -> list[str]:
        """Every address that a pattern can match."""
        found = ["/ping", "/render", "/render/cancel", "/midi/learn"]
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

    def _one(self, address: str, message: Message, asker: Asker) -> None:
        arguments = message.arguments
        match address:
            case "/ping":
                asker.reply("/pong", __version__)
            case "/midi/learn":
                if self.learn is None:
                    raise BridgeError("there is no MIDI here")
                self.learn(_text(*_exactly(arguments, 1)))
            case "/render":
                source, target, board = (_text(a) for a in _exactly(arguments, 3))
                self.renders.start(source, target, board, asker.reply, asker.abandoned, asker.peer)
            case "/render/cancel":
                for number in self.renders.cancel(_text_or_number(*_exactly(arguments, 1))):
                    asker.reply("/render/cancel", number)
            case _:
                self._board(address, message, asker.reply)

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
            self._load(host, address, _text(*_exactly(arguments, 1)), reply)
        elif place == "save":
            path = self.media.new(_text(*_exactly(arguments, 1)), BOARD_SUFFIXES)
            host.save(path)
            reply(address, path.name)
        elif rest[-1] == "raw" and len(rest) == (2 if isinstance(host, InstrumentHost) else 3):
            self._raw(host, "/".join(rest[:-1]), message, reply)
        elif not arguments:
            reply(address, wire(host.value(place)))
        else:
            (value,) = _exactly(arguments, 1)
            host.set(place, value, message.when)

    def _load(self, host: BoardHost, address: str, name: str, reply: Reply) -> None:
        """Load a file of the media folders into a board, and reply when that is done or has failed."""
        path = self.media.existing(name)
        host.load_soon(
            lambda: board_named(path, self.media, host.output_level),
            lambda: reply(address, path.name),
            lambda sentence: reply("/error", address, self._sentence(sentence)),
        )

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


def _exactly(arguments: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    if len(arguments) != count:
        raise BridgeError(f"expected {count} argument{'s' * (count != 1)}, found {len(arguments)}")
    return arguments


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise BridgeError(f"expected a file name, found {shown(value)}")
    return value


def _text_or_number(value: object) -> str | int:
    return value if isinstance(value, int) else _text(value)


def wire(value: object) -> Any:
    """A value as an OSC argument."""
    return value if isinstance(value, str) else float(str(value))
