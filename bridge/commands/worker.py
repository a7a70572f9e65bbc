"""Commands of the worker as a whole."""

from __future__ import annotations

from bridge.commands.registry import FILE_COST, Argument, Call, Command
from bridge.errors import BridgeError
from neural_fx import __version__


def _ping(call: Call) -> None:
    call.asker.reply("/pong", __version__)


def _render(call: Call) -> None:
    source, target, board = call.arguments
    asker = call.asker
    call.worker.renders.start(source, target, board, asker.reply, asker.abandoned, asker.peer)


def _cancel(call: Call) -> None:
    (which,) = call.arguments
    for number in call.worker.renders.cancel(which):
        call.reply(number)


def _boards(call: Call) -> None:
    call.reply(*call.worker.boards)


def _files(call: Call) -> None:
    folder = call.arguments[0] if call.arguments else ""
    call.reply(*call.worker.media.names(folder))


def _learn(call: Call) -> None:
    if call.worker.learn is None:
        raise BridgeError("there is no MIDI here")
    call.worker.learn(*call.arguments)


PING = Command("/ping", "answers `/pong VERSION`", _ping, checks=False)

RENDER = Command(
    "/render",
    "renders a file inside the `--media` folders",
    _render,
    (
        Argument("input", expected="a file name"),
        Argument("output", expected="a file name"),
        Argument("board", expected="the name of a board"),
    ),
    cost=FILE_COST,
)

CANCEL = Command(
    "/render/cancel",
    "ends a render that waits or runs; answers with its number",
    _cancel,
    (Argument("number or output", "is", expected="a number or a file name"),),
)

LEARN = Command(
    "/midi/learn",
    "makes the next controller that moves turn this parameter, given as `BOARD/SLOT/PARAM`",
    _learn,
    (Argument("address", expected="an address such as BOARD/SLOT/PARAM"),),
)

BOARDS = Command("/boards", "answers with the names of all boards and instruments", _boards)

FILES = Command(
    "/files",
    "answers with the names of files and folders (which end in `/`) of the media folders, "
    "or of a folder in them; at most 500",
    _files,
    (Argument("folder", optional=True, expected="the name of a folder"),),
    cost=FILE_COST,
)
