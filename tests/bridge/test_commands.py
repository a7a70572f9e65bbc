"""The table of remote commands: checks, scopes, OSCQuery, reserved names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pedalboard
import pytest

from bridge.commands import COMMANDS, Argument, Call, Command, commands_of, find_command, reserved_names
from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost
from bridge.media import Media
from bridge.osc.packets import decode, encode
from bridge.osc.query import QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from bridge.worker import Options, Worker
from instruments import DDSP
from neural_fx.errors import NeuralFXError
from neural_fx.pedalboard import Pedalboard


def make_tree(media: Media | None = None) -> Tree:
    boards = {
        "lead": BoardHost("lead", lambda: Pedalboard([pedalboard.Gain(-6), pedalboard.Reverb()])),
        "solo": InstrumentHost("solo", lambda: DDSP("violin")),
    }
    return Tree(boards, media or Media())


@pytest.fixture
def tree() -> Tree:
    return make_tree()


def ask(tree: Tree, address: str, *arguments: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for message in decode(encode(address, *arguments)):
        tree.handle(message, lambda *reply: found.append(reply))
    return found


def nothing(call: Call) -> None:
    call.reply(*call.arguments)


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        (Argument("n", "i", 1, 4), 4.0, 4),
        (Argument("n", "f", -1, 1), 0.5, 0.5),
        (Argument("n", "is"), 3, 3),
        (Argument("n", "is"), 3.0, 3),
        (Argument("n", "is"), "out.wav", "out.wav"),
        (Argument("n"), "text", "text"),
    ],
)
def test_arguments_are_checked(argument: Argument, value: object, expected: object) -> None:
    assert argument.check(value) == expected
    assert type(argument.check(value)) is type(expected)


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        (Argument("n", "i", 1, 4), 5, "n: 5 is outside 1 to 4"),
        (Argument("n", "i"), 1.5, "n: expected a whole number, found 1.5"),
        (Argument("n", "f"), "loud", "n: expected a number"),
        (Argument("n", "f"), float("nan"), "n: expected a finite number"),
        (Argument("n", expected="a file name"), 3, "expected a file name, found 3"),
        (Argument("n", expected="a file name"), "", "expected a file name"),
    ],
)
def test_wrong_arguments_are_refused(argument: Argument, value: object, words: str) -> None:
    with pytest.raises(NeuralFXError, match=words):
        argument.check(value)


def test_optional_arguments_may_be_left_out(tree: Tree) -> None:
    command = Command("/say", "", nothing, (Argument("a"), Argument("b", "i", 1, 9, optional=True)))
    command.check(("x",))
    command.check(("x", 2))
    for values in ((), ("x", 2, 3)):
        with pytest.raises(BridgeError, match=f"expected 1 to 2 arguments, found {len(values)}"):
            command.check(values)


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("ping", "worker"),
        ("/", "worker"),
        ("/a//b", "worker"),
        ("/a*", "worker"),
        ("/a b", "worker"),
        ("/BOARD/x", "worker"),
        ("/x", "board"),
        ("/BOARD/mix", "any"),
        ("/BOARD/macro/9", "any"),
    ],
)
def test_addresses_that_cannot_be_reached_are_refused(address: str, scope: Any) -> None:
    with pytest.raises(ValueError, match="command"):
        Command(address, "", nothing, scope=scope)


def test_a_command_is_found_by_the_address_that_is_sent(tree: Tree) -> None:
    for address, expected in [("/ping", "/ping"), ("/lead/load", "/BOARD/load"), ("/render/cancel", "/render/cancel")]:
        found = find_command(address)
        assert found is not None
        assert found.address == expected
    assert find_command("/lead/gain/load") is None
    assert find_command("") is None
    places = {name: {command.place for command in commands_of(host)} for name, host in tree.boards.items()}
    assert places["lead"] >= {"load", "save"}
    assert "note" not in places["lead"]
    assert places["solo"] == {"note", "bend", "cc", "panic"}


def test_instruments_refuse_commands_of_boards(tree: Tree) -> None:
    assert ask(tree, "/solo/load", "x.yaml") == [
        ("/error", "/solo/load", "solo is an instrument; only boards have /BOARD/load")
    ]
    ((_, _, sentence),) = ask(tree, "/BOARD/load", "x.yaml")
    assert "no board or instrument of that name" in sentence
    assert ask(tree, "/subscribe") == [("/error", "/subscribe", "there is no connection here")]


def test_names_of_commands_are_reserved(tmp_path: Path) -> None:
    names = reserved_names()
    assert {"ping", "pong", "error", "render", "midi", "subscribe", "unsubscribe", "token"} <= set(names)
    board = tmp_path / "board.yaml"
    board.write_text("slots: []\n")
    for name in names:
        with pytest.raises(BridgeError, match=f"name '{name}'"):
            Worker(Options({name: board}))


def test_every_command_is_in_oscquery(tree: Tree) -> None:
    osc = OscServer(tree, port=0)
    query = QueryServer(osc, port=0, announce=False)
    try:
        root = query.node("/")
        assert root is not None
        for command in COMMANDS:
            for name, host in tree.boards.items() if command.of_board else [("", None)]:
                if host is None or command.fits(host):
                    address = command.address.replace("/BOARD/", f"/{name}/")
                    node = query.node(address)
                    assert node is not None
                    assert node["FULL_PATH"] == address
                    assert node["ACCESS"] == 2
                    assert node["DESCRIPTION"]
                    assert len(node["TYPE"]) == max(1, len(command.arguments))
        assert set(root["CONTENTS"]) == {"lead", "solo", *reserved_names()} - {"pong", "error"}
        assert query.node("/render/cancel")["TYPE"] == "s"  # type: ignore[index]
        assert query.node("/midi")["ACCESS"] == 0  # type: ignore[index]
        assert query.node("/solo/note")["RANGE"] == [{"MIN": 0, "MAX": 127}] * 2  # type: ignore[index]
        assert query.node("/subscribe")["RANGE"] == [{"MIN": 1, "MAX": 65535}]  # type: ignore[index]
    finally:
        query.close()
        osc.close()
