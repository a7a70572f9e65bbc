"""Commands that list and change the slots of a board while it plays.

A change edits the text of the board and loads it again, as ``/BOARD/load`` loads a file: by the same rules, tried out
first, and cross-faded. Values, bypasses and names of the other slots stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.commands.registry import ALL_COST, FILE_COST, Argument, Call, Command
from bridge.errors import BridgeError
from bridge.host import BoardHost, ForeignBoard, board_in
from bridge.host.sources import rules_of
from bridge.host.targets import inside
from bridge.media import Media
from neural_fx.errors import BoardError
from neural_fx.slots import default_name, find_slot, slot_names
from neural_fx.values import shown
from neural_fx.yaml_text import YamlError, read_yaml, write_yaml

Fields = dict[str, Any]
"""A board or a slot, as its YAML has it."""

_SLOT = Argument("slot", "is", expected="the name or number of a slot")
_POSITION = Argument("position", "i", 1, 64)


def _fields(host: BoardHost, media: Media) -> Fields:
    """Return a board with its values as they stand. All slots have names.

    Raises:
        BoardError: it has a plugin that a board file cannot name.
    """
    text = host.text(media.base)
    if not text:
        raise BoardError("the board has a plugin that a board file cannot name, so its slots cannot be changed")
    board: Fields = read_yaml(text.encode()).value
    return board


def _number(host: BoardHost, slot: str | int) -> int:
    """Return the number of a slot, from 0.

    Raises:
        ParameterError: there is no such slot; lists what there is.
    """
    return list(host.master).index(find_slot(host.master, str(slot)))


def _board(board: Fields, media: Media) -> ForeignBoard:
    return board_in(write_yaml(board), media)


def _change(call: Call, edit: Callable[[], tuple[ForeignBoard, tuple[object, ...]]]) -> None:
    """Load an edited board on the board's own thread, and reply when that is done or has failed.

    Args:
        call: the message.
        edit: returns the new board, and the arguments of the answer. Called on that thread, so that several changes
            build on each other.
    """
    answer: list[object] = []

    def find() -> ForeignBoard:
        made, arguments = edit()
        answer.extend(arguments)
        return made

    call.board.load_soon(find, lambda: call.reply(*answer), call.fail, keep=True)


def _list(call: Call) -> None:
    host = call.board
    text = host.text(call.worker.media.base)
    names = slot_names(host.master)
    if text:
        kinds = [next(iter(slot)) for slot in read_yaml(text.encode()).value["slots"]]
    else:
        kinds = [type(inside(slot)).__name__ for slot in host.master]
    call.reply(*(part for i, (name, kind) in enumerate(zip(names, kinds), 1) for part in (i, name, kind)))


def _add(call: Call) -> None:
    host, media = call.board, call.worker.media
    text, *rest = call.arguments

    def edit() -> tuple[ForeignBoard, tuple[object, ...]]:
        slot = _slot(text, media)  # here, because a long text takes a second to read
        board = _fields(host, media)
        names = [other["name"] for other in board["slots"]]
        if slot.get("name") in names:
            raise BoardError(f"name: the board has a slot {shown(slot['name'])} already; choose another name")
        place = _place(rest[0] - 1 if rest else len(names), len(names) + 1)
        board["slots"].insert(place, slot)
        made = _board(board, media)
        built = made()
        name = slot_names(built)[place]
        if not slot.get("name"):  # a second Reverb before the first must not take its name
            name = _free(default_name(built[place]), names)
            board["slots"][place] = {**slot, "name": name}
            made = _board(board, media)
        return made, (place + 1, name)

    _change(call, edit)


def _remove(call: Call) -> None:
    host, media = call.board, call.worker.media
    (which,) = call.arguments
    _number(host, which)

    def edit() -> tuple[ForeignBoard, tuple[object, ...]]:
        board = _fields(host, media)
        name = board["slots"].pop(_number(host, which))["name"]
        for macro in board.get("macros", []):
            macro["to"] = [target for target in macro["to"] if _slot_of(target) != name]
        macros = [macro for macro in board.pop("macros", []) if macro["to"]]
        return _board({**board, **({"macros": macros} if macros else {})}, media), (name,)

    _change(call, edit)


def _move(call: Call) -> None:
    host, media = call.board, call.worker.media
    which, position = call.arguments
    _number(host, which)

    def edit() -> tuple[ForeignBoard, tuple[object, ...]]:
        board = _fields(host, media)
        place = _place(position - 1, len(board["slots"]))
        slot = board["slots"].pop(_number(host, which))
        board["slots"].insert(place, slot)
        return _board(board, media), (place + 1, slot["name"])

    _change(call, edit)


def _slot_of(target: str | Fields) -> str:
    """Return the name of the slot that a target of a macro turns; empty for the board's own parameters."""
    address: str = target if isinstance(target, str) else target["parameter"]
    return address.rpartition("/")[0]


def _slot(text: str, media: Media) -> Fields:
    """Return the slot that a text describes. Its fields are checked when the board is built.

    Raises:
        BridgeError: it is too long, or not a mapping in YAML.
    """
    most = rules_of(media).most_bytes
    try:
        if len(text.encode()) > most:
            raise BridgeError(f"slot: over {most // 1024} KB")
        value = read_yaml(text.encode()).value
    except UnicodeEncodeError:
        raise BridgeError("slot: the text has characters that no text can have") from None
    except YamlError as error:
        raise BridgeError(f"slot: {error.problem}") from None
    if not isinstance(value, dict):
        raise BridgeError(f"slot: expected a slot in YAML, such as 'plugin: Reverb', found {shown(value)}")
    return value


def _place(place: int, count: int) -> int:
    """Return a place from 0 if it is one of so many.

    Raises:
        BridgeError: it is not.
    """
    if not 0 <= place < count:
        raise BridgeError(f"position: {place + 1} is outside 1 to {count}")
    return place


def _free(name: str, names: list[str]) -> str:
    """Return a name, with a number after it if it is taken."""
    number, free = 2, name
    while free in names:
        free, number = f"{name}-{number}", number + 1
    return free


LIST = Command("/BOARD/slots", "answers with number, name and kind of every slot", _list, scope="board", cost=ALL_COST)

ADD = Command(
    "/BOARD/slots/add",
    "adds a slot, given as in a board file, such as `plugin: Reverb`; answers with its position and name",
    _add,
    (
        Argument("slot in YAML", expected="a slot in YAML"),
        Argument("position", "i", 1, 64, optional=True),
    ),
    "board",
    cost=FILE_COST,
)

REMOVE = Command(
    "/BOARD/slots/remove", "removes a slot; answers with its name", _remove, (_SLOT,), "board", cost=FILE_COST
)

MOVE = Command(
    "/BOARD/slots/move",
    "moves a slot to a position; answers with its position and name",
    _move,
    (_SLOT, _POSITION),
    "board",
    cost=FILE_COST,
)
