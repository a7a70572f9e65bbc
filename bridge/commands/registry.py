"""The registry of remote commands: address, arguments, help and handler of each, in one object.

>>> find_command("/lead/save").address
'/BOARD/save'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost
from bridge.media import Media
from bridge.osc.patterns import is_pattern
from bridge.rendering import Renders, never
from neural_fx.errors import ParameterError
from neural_fx.registry import Registry
from neural_fx.values import finite_number, shown

BOARD = "/BOARD/"
"""Beginning of the address of a command that belongs to a board or an instrument."""

ALL_COST = 100
"""Cost of a message that visits every address: wildcards, and ``/subscribe``. Most messages cost 1."""
FILE_COST = 500
"""Cost of a message that names files, or builds a board."""

Reply = Callable[..., None]
"""``reply(address, *arguments)`` answers the sender of a message."""

Kind = Literal["s", "i", "f", "is"]
"""OSC types of an argument: text, whole number, number, or a number or text."""

Scope = Literal["worker", "connection", "board", "notes", "any"]

_PARAMETERS = ("mix", "bypass", "macro")
"""Names below every board that commands may not take."""


@dataclass(frozen=True)
class Argument:
    """An argument of a command.

    Attributes:
        name: for the documentation.
        kind: ``s`` for text, ``i`` for a whole number, ``f`` for any number, ``is`` for a whole number or text.
        minimum, maximum: range of a number, or None.
        optional: whether it may be left out. Only optional arguments may follow.
        expected: what an error message asks for.
    """

    name: str
    kind: Kind = "s"
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
    expected: str = "text"

    def check(self, value: object) -> Any:
        """Return a value as the handler gets it.

        Raises:
            BridgeError: it is not text, not a whole number, or out of range.
            ParameterError: it is not a finite number.
        """
        if self.kind == "s" or (self.kind == "is" and not isinstance(value, (int, float))):
            if not isinstance(value, str) or not value:
                raise BridgeError(f"expected {self.expected}, found {shown(value)}")
            return value
        number = finite_number(value, self.name, text=False)
        if self.kind != "f":  # Pure Data has no integers, so 2.0 is a whole number
            if number != int(number):
                raise BridgeError(f"{self.name}: expected a whole number, found {shown(value)}")
            number = int(number)
        if self.minimum is not None and self.maximum is not None and not self.minimum <= number <= self.maximum:
            raise BridgeError(f"{self.name}: {number:g} is outside {self.minimum:g} to {self.maximum:g}")
        return number


@dataclass(frozen=True)
class Asker:
    """The sender of a message.

    Attributes:
        reply: answers the sender.
        abandoned: returns whether the sender is gone, which ends what it started.
        peer: tells senders apart; None if that is not known.
    """

    reply: Reply
    abandoned: Callable[[], bool] = never
    peer: object = None


class Target(Protocol):
    """The worker, as commands see it."""

    @property
    def boards(self) -> dict[str, BoardHost]:
        """Boards and instruments by name."""

    @property
    def media(self) -> Media:
        """Files that may be read and written."""

    @property
    def renders(self) -> Renders:
        """The queue of renders."""

    @property
    def learn(self) -> Callable[[str], None] | None:
        """Function that binds the next MIDI controller to an address; None without MIDI."""

    def sentence(self, text: str) -> str:
        """Return an error as it may be sent: printable, of bounded length, without the places of media folders."""


class Connection(Protocol):
    """The connection over which a message came."""

    def subscribe(self, arguments: tuple[Any, ...]) -> None:
        """Send meters and changes from now on."""

    def unsubscribe(self, arguments: tuple[Any, ...]) -> None:
        """End that."""

    def check_token(self, arguments: tuple[Any, ...]) -> None:
        """Trust the sender from now on if the token is right."""


@dataclass(frozen=True)
class Call:
    """One call of a command.

    Attributes:
        address: as it was sent, with the name of the board.
        arguments: checked, unless the command checks them itself.
        asker: the sender.
        worker: what the command may use.
        host: the board or instrument; None for commands of the worker.
        when: the time (as `time.time` returns it) at which it takes effect; 0 for now.
        connection: over which the message came; None if there is none.
    """

    address: str
    arguments: tuple[Any, ...]
    asker: Asker
    worker: Target
    host: BoardHost | None = None
    when: float = 0.0
    connection: Connection | None = None

    @property
    def board(self) -> BoardHost:
        """The board or instrument.

        Raises:
            BridgeError: the command belongs to no board.
        """
        if self.host is None:
            raise BridgeError(f"{self.address} belongs to no board")
        return self.host

    def reply(self, *arguments: object) -> None:
        """Answer the sender, with the address that was sent."""
        self.asker.reply(self.address, *arguments)

    def fail(self, text: str) -> None:
        """Report an error to the sender. For errors after the handler has returned; before that, raise."""
        self.asker.reply("/error", self.address, self.worker.sentence(text))


@dataclass(frozen=True)
class Command:
    """A remote command.

    Attributes:
        address: such as ``/ping``, or ``/BOARD/load`` for a command of every board.
        help: one sentence for the documentation and OSCQuery: what it does and what it answers.
        do: the handler, called with a `Call`. It runs on a thread that other messages wait for, so it starts long
            work on another one. It may raise `NeuralFXError`, which the sender gets as ``/error``.
        arguments: in their order.
        scope: ``worker``; ``connection`` for what belongs to one connection, which no pattern reaches; ``board`` for
            boards with slots; ``notes`` for what takes notes; ``any`` for boards and instruments.
        checks: whether the number, type and range of arguments are checked before `do` is called.
        cost: how many messages it counts for, against the limit of messages a second.
    """

    address: str
    help: str
    do: Callable[[Call], None]
    arguments: tuple[Argument, ...] = ()
    scope: Scope = "worker"
    checks: bool = True
    cost: int = 1

    def __post_init__(self) -> None:
        parts = self.address.split("/")
        if parts[0] or len(parts) < 2 or not all(parts[1:]) or is_pattern(self.address) or " " in self.address:
            raise ValueError(f"command {self.address!r}: expected an address such as /ping or /BOARD/load")
        if self.of_board != self.address.startswith(BOARD):
            raise ValueError(f"command {self.address!r}: scope {self.scope!r} does not fit the address")
        if self.of_board and parts[2] in _PARAMETERS:
            raise ValueError(f"command {self.address!r}: every board has parameters at /BOARD/{parts[2]}")

    @property
    def name(self) -> str:
        """The address, which is the name in the registry."""
        return self.address

    @property
    def of_board(self) -> bool:
        """Whether it belongs to a board or an instrument."""
        return self.scope in ("board", "notes", "any")

    @property
    def place(self) -> str:
        """The address below the board."""
        return self.address.removeprefix(BOARD)

    def fits(self, host: BoardHost) -> bool:
        """Return whether a board or instrument has this command."""
        if self.scope == "notes":
            return host.takes_notes
        return self.scope == "any" or (self.scope == "board" and not isinstance(host, InstrumentHost))

    def __call__(self, call: Call) -> None:
        """Check the arguments and do it.

        Raises:
            NeuralFXError: an argument is wrong, or it cannot be done.
        """
        if self.checks:
            self.check(call.arguments)
            checked = tuple(argument.check(value) for argument, value in zip(self.arguments, call.arguments))
            call = Call(call.address, checked, call.asker, call.worker, call.host, call.when, call.connection)
        self.do(call)

    def check(self, values: tuple[Any, ...]) -> None:
        """Check the number of arguments.

        Raises:
            BridgeError: too few or too many.
        """
        most = len(self.arguments)
        least = sum(not argument.optional for argument in self.arguments)
        if not least <= len(values) <= most:
            count = f"{most} argument{'s' * (most != 1)}" if least == most else f"{least} to {most} arguments"
            raise BridgeError(f"expected {count}, found {len(values)}")


COMMANDS = Registry(
    "neural_fx.commands",
    Command,
    built_in=(
        "bridge.commands.worker:PING",
        "bridge.commands.worker:BOARDS",
        "bridge.commands.worker:FILES",
        "bridge.commands.worker:RENDER",
        "bridge.commands.worker:CANCEL",
        "bridge.commands.worker:LEARN",
        "bridge.commands.connection:SUBSCRIBE",
        "bridge.commands.connection:UNSUBSCRIBE",
        "bridge.commands.connection:TOKEN",
        "bridge.commands.boards:LOAD",
        "bridge.commands.boards:SAVE",
        "bridge.commands.slots:LIST",
        "bridge.commands.slots:ADD",
        "bridge.commands.slots:REMOVE",
        "bridge.commands.slots:MOVE",
        "bridge.commands.notes:NOTE",
        "bridge.commands.notes:BEND",
        "bridge.commands.notes:CC",
        "bridge.commands.notes:PANIC",
    ),
)
"""All commands."""

_ANSWERS = ("pong", "error")
"""First parts of addresses that the worker sends, and that no command has."""


def worker_command(address: str) -> Command | None:
    """Return the command of the worker or the connection at an address, or None."""
    if address not in COMMANDS:
        return None
    command = COMMANDS[address]
    return None if command.of_board else command


def board_command(place: str) -> Command | None:
    """Return the command of boards and instruments at an address below the board, or None."""
    return COMMANDS[BOARD + place] if BOARD + place in COMMANDS else None


def find_command(address: str) -> Command | None:
    """Return the command at an address as it is sent, or None. It does not ask whether there is such a board."""
    found = worker_command(address)
    if found is not None:
        return found
    _, _, place = address[1:].partition("/")
    return board_command(place)


def commands_of(host: BoardHost) -> list[Command]:
    """Return the commands that a board or instrument has."""
    return [command for command in COMMANDS if command.of_board and command.fits(host)]


def reserved_names() -> list[str]:
    """Return the names that no board may have: the first parts of the addresses of all commands, and of answers."""
    first = [command.address.split("/")[1] for command in COMMANDS if not command.of_board]
    return list(dict.fromkeys([*first, *_ANSWERS]))


def refused(command: Command, name: str) -> ParameterError:
    """Return the error for a command of boards that an instrument does not have."""
    return ParameterError(f"{name} is an instrument; only boards have {command.address}")
