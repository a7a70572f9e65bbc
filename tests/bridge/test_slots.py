"""Slots of a board that plays: listed, added, removed and moved; and the lists of boards and files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest

from bridge import limits
from bridge.errors import BridgeError
from bridge.host import BoardHost, board_from
from bridge.media import Media
from bridge.osc.tree import Tree
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from tests.bridge.test_commands import ask, make_tree

BOARD = """
slots:
  - plugin: Gain
    set: {gain_db: -6}
  - plugin: Reverb
  - plugin: Delay
macros:
  - {name: size, to: [reverb/room_size, delay/mix]}
  - {name: time, to: [{parameter: delay/feedback, max: 0.5}]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "board.yaml").write_text(BOARD)
    return Tree({"lead": BoardHost("lead", board_from(tmp_path / "board.yaml"))}, Media([tmp_path]))


def change(tree: Tree, command: str, *arguments: Any) -> tuple[Any, ...]:
    """Return the one reply, which comes when the board was loaded or has failed."""
    replies = ask(tree, f"/lead/slots/{command}", *arguments)
    end = time.monotonic() + 60
    while not replies and time.monotonic() < end:
        time.sleep(0.01)
    ((address, *found),) = replies
    if address == "/error":
        return (address, found[-1])
    assert address == f"/lead/slots/{command}"
    return tuple(found)


def slots(tree: Tree) -> list[str]:
    ((address, *found),) = ask(tree, "/lead/slots")
    assert address == "/lead/slots"
    assert found[::3] == list(range(1, len(found) // 3 + 1))
    return [f"{name} {kind}" for name, kind in zip(found[1::3], found[2::3])]


def test_slots_are_added_moved_and_removed(tree: Tree) -> None:
    host = tree.boards["lead"]
    assert slots(tree) == ["gain plugin", "reverb plugin", "delay plugin"]
    host.set("reverb/room_size", 0.75)
    host.set("reverb/bypass", 1)
    host.set("bypass", 1)
    assert change(tree, "add", "{plugin: Reverb, set: {room_size: 0.25}}", 1) == (1, "reverb-2")
    assert slots(tree) == ["reverb-2 plugin", "gain plugin", "reverb plugin", "delay plugin"]
    assert change(tree, "add", "plugin: Chorus\nname: wide") == (5, "wide")
    assert change(tree, "move", "reverb", 5) == (5, "reverb")
    assert change(tree, "move", 1, 2.0) == (2, "reverb-2")
    assert slots(tree) == ["gain plugin", "reverb-2 plugin", "delay plugin", "wide plugin", "reverb plugin"]
    assert change(tree, "remove", "gain") == ("gain",)
    values = {place: host.value(place) for place in ("reverb/room_size", "reverb/bypass", "bypass", "wide/bypass")}
    assert values == {"reverb/room_size": 0.75, "reverb/bypass": 1, "bypass": 1, "wide/bypass": 0}
    assert host.value("reverb-2/room_size") == 0.25


def test_macros_follow_their_slots(tree: Tree) -> None:
    host = tree.boards["lead"]
    assert change(tree, "add", "plugin: Gain", 1) == (1, "gain-2")
    assert [target.address for target in host.master.given[0].targets] == ["reverb/room_size", "delay/mix"]
    assert change(tree, "remove", "delay") == ("delay",)
    (macro,) = host.master.given
    assert (macro.name, [target.address for target in macro.targets]) == ("size", ["reverb/room_size"])


def test_a_stream_has_no_gap(tree: Tree) -> None:
    host = tree.boards["lead"]
    host.set("reverb/bypass", 1)
    host.set("delay/bypass", 1)
    stream = host.open(Spec(48000, 1, 480))
    block = np.full((1, 480), 0.5, np.float32)
    for _ in range(10):
        before = stream.process(block)
    assert change(tree, "add", "{plugin: Gain, set: {gain_db: -6}}", 4) == (4, "gain-2")
    played = np.concatenate([stream.process(block) for _ in range(40)], 1)
    assert before[0, -1] == pytest.approx(0.25, rel=0.01)
    assert played[0, 0] == pytest.approx(0.25, rel=0.01), "the old board plays on"
    assert played[0, -1] == pytest.approx(0.125, rel=0.01)
    assert np.abs(np.diff(played[0])).max() < 0.001, "no step, and no bypassed slot is heard"


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("add", ["plugin: Rverb"], "did you mean"),
        ("add", ["model: ../secret.nam"], "secret.nam"),
        ("add", ["plugin: [", 1], "not valid YAML"),
        ("add", ["loud"], "expected a slot in YAML, such as 'plugin: Reverb', found 'loud'"),
        ("add", ["plugin: Gain\nname: gain"], "a slot 'gain' already"),
        ("add", ["plugin: Gain", 5], "position: 5 is outside 1 to 4"),
        ("add", ["plugin: Gain", 0], "position: 0 is outside 1 to 64"),
        ("add", [3.0], "expected a slot in YAML"),
        ("remove", ["gian"], "did you mean 'gain'"),
        ("remove", [4], "1 gain, 2 reverb, 3 delay"),
        ("remove", [], "expected 1 argument, found 0"),
        ("move", ["gain", 4], "position: 4 is outside 1 to 3"),
        ("move", ["gain"], "expected 2 arguments"),
    ],
)
def test_errors_change_nothing(tree: Tree, command: str, arguments: list[Any], words: str) -> None:
    address, sentence = change(tree, command, *arguments)
    assert address == "/error"
    assert words in sentence
    assert slots(tree) == ["gain plugin", "reverb plugin", "delay plugin"]


def test_a_board_that_no_file_can_name_is_listed_but_not_changed() -> None:
    class Custom(Pedalboard):
        pass

    tree = Tree({"lead": BoardHost("lead", lambda: Pedalboard([Custom([pedalboard.Gain()])]))}, Media())
    assert slots(tree) == ["custom Custom"]
    assert "cannot name" in change(tree, "remove", 1)[1]


def test_boards_are_listed() -> None:
    tree = make_tree()
    assert ask(tree, "/boards") == [("/boards", "lead", "solo")]
    assert ask(tree, "/boards", 1) == [("/error", "/boards", "expected 0 arguments, found 1")]
    ((_, _, sentence),) = ask(tree, "/solo/slots")
    assert sentence == "solo is an instrument; only boards have /BOARD/slots"


def test_files_are_listed(tmp_path: Path) -> None:
    first, second, outside = (tmp_path / name for name in ("first", "second", "outside"))
    for folder in (first / "amps", first / ".hidden", second / "amps", outside):
        folder.mkdir(parents=True)
    for path in (first / "b.yaml", first / ".secret", second / "a.wav", first / "amps/x.nam", second / "amps/y.nam"):
        path.write_text("")
    (outside / "key").write_text("")
    (first / "link").symlink_to(outside / "key")
    (first / "way").symlink_to(outside)
    tree = Tree({}, Media([first, second]))
    assert ask(tree, "/files") == [("/files", "a.wav", "amps/", "b.yaml")]
    assert ask(tree, "/files", "amps") == ask(tree, "/files", "amps/") == [("/files", "x.nam", "y.nam")]
    for name in ("way", "../outside", str(outside), "missing", ".hidden", "b.yaml", "a\0b", "x" * 5000):
        ((address, _, sentence),) = ask(tree, "/files", name)
        assert address == "/error"
        assert "no folder" in sentence
        assert str(tmp_path) not in sentence or name == str(outside)
    with pytest.raises(BridgeError, match="no media folders"):
        Media().names()


def test_a_list_of_files_has_an_end(tmp_path: Path) -> None:
    for i in range(limits.MEDIA_NAMES + 10):
        (tmp_path / f"{i:04}.wav").write_text("")
    names = Media([tmp_path]).names()
    assert names == [f"{i:04}.wav" for i in range(limits.MEDIA_NAMES)]
    for i in range(200):
        (tmp_path / f"{i:04}{'x' * 240}").write_text("")
    assert len(Media([tmp_path]).names()) < 400
