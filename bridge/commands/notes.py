"""Commands of instruments, and of boards with an instrument."""

from __future__ import annotations

from bridge.commands.registry import Argument, Call, Command
from bridge.host import as_message


def _play(call: Call) -> None:
    kind = call.address.rpartition("/")[2]
    call.board.play(as_message(kind, call.arguments), call.when)


def _panic(call: Call) -> None:
    call.board.panic()


# `as_message` checks the arguments, with the kind of message in its errors.

NOTE = Command(
    "/BOARD/note",
    "starts a note; velocity 0 ends it",
    _play,
    (Argument("note", "i", 0, 127), Argument("velocity", "i", 0, 127)),
    "notes",
    checks=False,
)

BEND = Command(
    "/BOARD/bend", "bends, as a share of the bend range", _play, (Argument("bend", "f", -1, 1),), "notes", checks=False
)

CC = Command(
    "/BOARD/cc",
    "moves a MIDI controller",
    _play,
    (Argument("controller", "i", 0, 127), Argument("value", "i", 0, 127)),
    "notes",
    checks=False,
)

PANIC = Command("/BOARD/panic", "ends all notes", _panic, scope="notes", checks=False)
