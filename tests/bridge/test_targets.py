"""Addresses are resolved once for each board, and again for another one."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pedalboard
import pytest

from bridge import limits
from bridge.host import BoardHost, BoardStream, Change, Hosted
from bridge.host.targets import Targets, inside
from bridge.protocol import Event
from neural_fx.errors import ParameterError
from neural_fx.macros import Macro, Target
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec

SPEC = Spec(48000, 1, 64)


def gains(**decibels: float) -> Pedalboard:
    """Return a board with a gain for each name."""
    board = Pedalboard([pedalboard.Gain(value) for value in decibels.values()])
    for name, plugin in zip(decibels, list(board), strict=True):
        board.name_slot(plugin, name)
    return board


def faded(stream: BoardStream) -> None:
    """Play until no board fades in."""
    while stream.next is not None:
        stream.process(np.zeros((1, 64), np.float32))


def test_a_known_address_is_not_resolved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = BoardHost("lead", lambda: gains(pre=0, post=0)).open(SPEC)
    block = np.zeros((1, 64), np.float32)
    addresses = ("pre/gain_db", "2/gain_db", "post/bypass", "mix", "bypass")
    stream.process(block, [Event(0, address, 0.5) for address in addresses])

    def never(self: Hosted, address: str) -> None:
        raise AssertionError(f"{address} is resolved again")

    monkeypatch.setattr(Hosted, "find", never)
    stream.process(block, [Event(0, address, 1.0) for address in addresses])
    assert not stream.muted
    assert stream.voice.board.value("mix") == 1
    assert stream.bypass == 1


def test_an_address_controls_the_board_that_plays() -> None:
    host = BoardHost("lead", lambda: gains(pre=0, post=0))
    stream = host.open(SPEC)
    block = np.zeros((1, 64), np.float32)
    stream.process(block, [Event(0, "pre/gain_db", -6.0)])
    old = stream.voice.board
    host.load(lambda: gains(post=1, pre=2))
    faded(stream)
    stream.process(block, [Event(0, "pre/gain_db", -12.0), Event(0, "1/gain_db", -3.0)])
    assert stream.voice.board.value("pre/gain_db") == -12
    assert stream.voice.board.value("post/gain_db") == -3
    assert old.value("pre/gain_db") == -6
    host.set("1/gain_db", -9)
    assert (host.value("post/gain_db"), host.value("pre/gain_db")) == (-9, 2)


def test_edited_slots_are_resolved_again() -> None:
    board = Hosted(gains(pre=0, post=0))
    targets = Targets(board)
    first = targets.get("1/gain_db")
    assert targets.get("1/gain_db") is first
    slot = board[0]
    del board[0]
    assert targets.get("1/gain_db").address == "post/gain_db"
    with pytest.raises(ParameterError, match="no slot 'pre'"):
        targets.get("pre/gain_db")
    board.append(slot)
    board.name_slot(slot, "pre")
    assert targets.get("2/gain_db").address == "pre/gain_db"
    targets.get("pre/gain_db").set(-1)
    assert inside(slot).gain_db == -1


def test_an_unknown_address_is_refused_with_the_same_sentence() -> None:
    stream = BoardHost("lead", lambda: gains(pre=0)).open(SPEC)
    refusals: list[tuple[str, str]] = []
    stream.refused = lambda address, sentence: refusals.append((address, sentence))
    block = np.zeros((1, 64), np.float32)
    stream.process(block, [Event(0, "per/gain_db", 0.0)])
    ((address, sentence),) = refusals
    assert address == "per/gain_db"
    assert "no slot 'per'" in sentence
    assert "pre" in sentence
    stream.process(block, [Event(0, "per/gain_db", 1.0)])
    assert refusals[1] == refusals[0]


def test_a_host_finds_parameters_by_any_form_of_the_address() -> None:
    host = BoardHost("lead", lambda: gains(pre=0))
    with pytest.raises(ParameterError, match="outside its range"):
        host.set("pre/gain_db", 1e9)
    assert host.parameter("1/gain_db") is host.table()["pre/gain_db"]
    assert host.parameter("bypass") is host.table()["bypass"]
    assert host.parameter("pre/bypass") is host.table()["pre/bypass"]


def test_a_macro_moves_all_its_targets() -> None:
    board = gains(pre=0, post=0)
    board.macros = (Macro("level", (Target("pre/gain_db", -6, 6), Target("post/gain_db", 10, -10), Target("mix"))),)
    targets = Targets(Hosted(board))
    macro = targets.get("macro/1")
    macro.set(0.75)
    assert macro.moved == ("macro/1", "pre/gain_db", "post/gain_db", "mix")
    assert [target.address for target, _ in macro.settings(0.5)] == ["pre/gain_db", "post/gain_db", "mix"]
    values = targets._board.values()  # type: ignore[attr-defined]
    assert [values[address] for address in macro.moved] == [0.75, 3, -5, 0.75]
    with pytest.raises(ParameterError, match="outside its range"):
        macro.set(1.5)


def test_an_unknown_address_is_looked_for_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin may get further parameters while it plays."""
    board = Hosted(gains(pre=0))
    targets = Targets(board)
    searches: list[str] = []
    find = board.find

    def counted(address: str) -> object:
        searches.append(address)
        return find(address)

    monkeypatch.setattr(Hosted, "find", lambda self, address: counted(address))
    for _ in range(3):
        with pytest.raises(ParameterError, match="no slot 'per'"):
            targets.get("per/gain_db")
    assert searches == ["per/gain_db"]
    monkeypatch.setattr(limits, "ADDRESS_UNKNOWN_SECONDS", 0.0)
    with pytest.raises(ParameterError, match="no slot 'per'"):
        targets.get("per/gain_db")
    assert searches == ["per/gain_db"] * 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_KNOWN", 4)
    monkeypatch.setattr(limits, "ADDRESSES_UNKNOWN", 4)
    targets = Targets(Hosted(gains(pre=0)))
    for number in range(9):
        assert targets.get("0" * number + "1/gain_db").address == "pre/gain_db"
        for address in (f"x{number}/gain_db", "x" * 1000 + f"{number}/gain_db"):
            with pytest.raises(ParameterError, match="no slot"):
                targets.get(address)
    assert len(targets._known) <= 4
    assert len(targets._unknown) <= 4


def test_a_closed_stream_is_freed_at_once() -> None:
    host = BoardHost("lead", lambda: gains(pre=0))
    stream = host.open(SPEC)
    stream.process(np.zeros((1, 64), np.float32), [Event(0, "mix", 0.5), Event(0, "pre/gain_db", 0.5)])
    stream.change(Change("macro/1", 0.5))
    board = weakref.ref(stream.voice.board)
    host.close(stream)
    gc.disable()
    try:
        del stream
        assert board() is None
    finally:
        gc.enable()
