"""What OSC addresses do: one function from a message to replies, whatever it came over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge import limits
from bridge.commands import COMMANDS, Asker, Call, Reply, board_command, commands_of, worker_command
from bridge.commands.registry import refused
from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost
from bridge.media import Media
from bridge.osc.packets import Message
from bridge.osc.patterns import is_pattern, matching
from bridge.protocol import shortened
from bridge.rendering import Renders, never
from neural_fx.errors import ParameterError, reason
from neural_fx.inputs import printable
from neural_fx.parameters import Parameter
from neural_fx.values import finite_number, suggestion

_RAW = Parameter("raw", 0, 1, 0)


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
            reply("/error", printable(message.address), self.sentence(reason(error)))

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
        if len(found) > limits.OSC_MATCHES:
            raise ParameterError(f"matches {len(found)} addresses; a message may match {limits.OSC_MATCHES}")
        return found

    def sentence(self, text: str) -> str:
        """Return an error as it may be sent: printable, of bounded length, and without the media folders' places."""
        return shortened(printable(self.media.without_folders(text)), limits.OSC_ERROR_CHARACTERS)

    def addresses(self) -> list[str]:
        """Every address that a pattern can match."""
        found = [command.address for command in COMMANDS if command.scope == "worker"]
        for name, host in self.boards.items():
            found += [f"/{name}/{command.place}" for command in commands_of(host)]
            for place in host.table():
                found.append(f"/{name}/{place}")
                if "/" in place or isinstance(host, InstrumentHost):
                    found.append(f"/{name}/{place}/raw")
        return found

    def _one(self, address: str, message: Message, asker: Asker) -> None:
        command = worker_command(address)
        if command is not None:
            command(Call(address, message.arguments, asker, self, when=message.when))
        else:
            self._board(address, message, asker)

    def _board(self, address: str, message: Message, asker: Asker) -> None:
        _, name, *rest = address.split("/")
        host = self.boards.get(name)
        if host is None or not rest:
            hint = suggestion(name, self.boards)
            raise ParameterError(
                f"no board or instrument of that name{hint}; there is: {', '.join(self.boards) or 'none'}"
            )
        place, arguments = "/".join(rest), message.arguments
        command = board_command(place)
        if command is not None and command.fits(host):
            command(Call(address, arguments, asker, self, host, message.when))
        elif command is not None and command.scope == "board":
            raise refused(command, name)
        elif rest[-1] == "raw" and len(rest) == (2 if isinstance(host, InstrumentHost) else 3):
            self._raw(host, "/".join(rest[:-1]), message, asker.reply)
        elif not arguments:
            asker.reply(address, wire(host.value(place)))
        else:
            host.set(place, _single(arguments), message.when)

    def _raw(self, host: BoardHost, place: str, message: Message, reply: Reply) -> None:
        parameter = host.parameter(place)
        if parameter is None:
            raise ParameterError(f"{place} has no known range, so no raw value; set it in its own unit")
        if not message.arguments:
            span = parameter.maximum - parameter.minimum
            reply(message.address, (finite_number(host.value(place), place) - parameter.minimum) / span)
            return
        raw = _RAW.check(_single(message.arguments))
        host.set(place, parameter.at(raw), message.when)


def _single(arguments: tuple[Any, ...]) -> Any:
    """Return the only argument.

    Raises:
        BridgeError: there are more.
    """
    if len(arguments) != 1:
        raise BridgeError(f"expected 1 argument, found {len(arguments)}")
    return arguments[0]


def wire(value: object) -> Any:
    """Convert a value to an OSC argument."""
    return value if isinstance(value, str) else float(str(value))
