"""Commands of boards."""

from __future__ import annotations

from bridge.commands.registry import FILE_COST, Argument, Call, Command
from bridge.host import board_named
from bridge.media import BOARD_SUFFIXES

_FILE = Argument("file", expected="a file name")


def _load(call: Call) -> None:
    """Load a file of the media folders into a board, and reply when that is done or has failed."""
    host, media = call.board, call.worker.media
    path = media.existing(*call.arguments)
    host.load_soon(
        lambda: board_named(path, media, host.output_level),
        lambda: call.reply(path.name),
        call.fail,
    )


def _save(call: Call) -> None:
    (name,) = call.arguments
    path = call.worker.media.new(name, BOARD_SUFFIXES)
    call.board.save(path)
    call.reply(path.name)


LOAD = Command(
    "/BOARD/load",
    "changes to a board file or capture of the media folders, while it plays",
    _load,
    (_FILE,),
    "board",
    cost=FILE_COST,
)

SAVE = Command(
    "/BOARD/save",
    "writes the board, with its values as they stand, to a new file of the media folders",
    _save,
    (_FILE,),
    "board",
    cost=FILE_COST,
)
