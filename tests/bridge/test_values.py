"""Bad values at the worker's doors: OSC, OSCQuery, stream events, macros, boards that clients send, config files."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pedalboard
import pytest
from websockets.sync.client import connect

import bridge
from bridge.config import read_config, write_controls
from bridge.errors import BridgeError
from bridge.host import BoardHost, InstrumentHost, as_message, instrument_from
from bridge.media import Media
from bridge.midi import Binding, MidiMap
from bridge.osc.packets import Message, decode, encode
from bridge.osc.query import QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from bridge.protocol import Event, Hello
from bridge.stream_server import StreamServer
from neural_fx.errors import NeuralFXError
from neural_fx.macros import Macro, Target
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import TubeScreamer
from neural_fx.processor import Spec
from neural_fx.slots import parameter_values
from tests.conftest import noise

BAD = [math.nan, math.inf, -math.inf, 1e30, -1e30, "nan", "inf", "loud", "", None]


def board() -> Pedalboard:
    made = Pedalboard([TubeScreamer(), pedalboard.Delay(), pedalboard.LadderFilter(), pedalboard.BrickwallLimiter()])
    made.macros = (Macro("Echo", (Target("delay/feedback", 0, 0.5),)),)
    return made


@pytest.fixture(scope="module")
def boards() -> dict[str, BoardHost]:
    return {"lead": BoardHost("lead", board), "violin": InstrumentHost("violin", instrument_from("violin"))}


def replies(tree: Tree, address: str, value: object) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    tree.handle(Message(address, (value,)), lambda *reply: found.append(reply))
    return found


def all_values(host: BoardHost) -> dict[str, object]:
    return {address: host.value(address) for address in host.table()}


def test_osc_refuses_every_bad_value_at_every_address(boards: dict[str, BoardHost]) -> None:
    tree = Tree(boards, Media())
    for name, host in boards.items():
        before = all_values(host)
        for address in host.table():
            for bad in BAD:
                (reply,) = replies(tree, f"/{name}/{address}", bad)
                assert reply[:2] == ("/error", f"/{name}/{address}")
                assert "expected" in reply[2] or "outside its range" in reply[2]
                assert address.rpartition("/")[2] in reply[2]
        assert all_values(host) == before


def test_osc_refuses_bad_raw_values_and_notes(boards: dict[str, BoardHost]) -> None:
    tree = Tree(boards, Media())
    for bad in (*BAD, 1.5, -0.1):
        (reply,) = replies(tree, "/lead/delay/feedback/raw", bad)
        assert reply[:2] == ("/error", "/lead/delay/feedback/raw")
    for bad in (*BAD, 1.5, -1.5):
        (reply,) = replies(tree, "/violin/bend", bad)
        assert reply[:2] == ("/error", "/violin/bend")
    for bad in (math.nan, math.inf, 10**400, "60", None):
        with pytest.raises(NeuralFXError):
            as_message("note", (60, bad))
    assert as_message("cc", (1, 64.0)) == mido.Message("control_change", control=1, value=64)


def test_osc_sets_choices_and_switches(boards: dict[str, BoardHost]) -> None:
    tree = Tree(boards, Media())
    for address, value, found in (
        ("ladder-filter/mode", "hpf24", "HPF24"),
        ("brickwall-limiter/true_peak", True, 1.0),
        ("brickwall-limiter/true_peak", 0, 0.0),
        ("delay/bypass", True, 1.0),
        ("delay/bypass", "off", 0.0),
    ):
        assert replies(tree, f"/lead/{address}", value) == []
        assert boards["lead"].value(address) == found
    (reply,) = replies(tree, "/lead/ladder-filter/mode", "HPF42")
    assert "did you mean 'HPF24'?" in reply[2]
    (reply,) = replies(tree, "/lead/ladder-filtre/mode", "HPF24")
    assert "did you mean 'ladder-filter'?" in reply[2]


def test_oscquery_shows_ranges_of_native_plugins_and_answers_errors(boards: dict[str, BoardHost]) -> None:
    osc = OscServer(Tree(boards, Media()), port=0)
    query = QueryServer(osc, port=0, announce=False)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{query.port}/lead/delay/feedback", timeout=20) as answer:
            node = json.loads(answer.read())
        assert node["RANGE"] == [{"MIN": 0, "MAX": 1}]
        assert node["DESCRIPTION"]
        with connect(f"ws://127.0.0.1:{query.port}") as websocket:
            websocket.send(encode("/lead/delay/feedback", math.nan))
            (message,) = decode(bytes(websocket.recv(20)))  # type: ignore[arg-type]
        assert message.address == "/error"
        assert message.arguments[1] == "feedback: expected a finite number, found nan"
    finally:
        query.close()
        osc.close()


def test_stream_events_with_bad_values_are_told_and_change_nothing() -> None:
    said: list[str] = []
    host = BoardHost("lead", board, lambda name, sentence: said.append(sentence))
    stream = host.open(Spec(48000, 1, 64))
    before = [parameter_values(slot[0]) for slot in stream.voice.board]  # type: ignore[index]
    for address in host.table():
        for bad in (math.nan, math.inf, 1e300, -1e300):
            said.clear()
            out = stream.process(noise(64)[None], [Event(3, address, bad)])
            assert out.shape == (1, 64)
            assert np.isfinite(out).all()
            assert len(said) == 1, address
            assert address.rpartition("/")[2] in said[0]
            assert not stream.muted
    assert [parameter_values(slot[0]) for slot in stream.voice.board] == before  # type: ignore[index]


@pytest.fixture
def server(boards: dict[str, BoardHost], tmp_path: Path) -> Iterator[StreamServer]:
    made = StreamServer(boards, media=Media([tmp_path]))
    yield made
    made.close()


def test_boards_that_clients_send_are_checked(server: StreamServer) -> None:
    for value in (".nan", ".inf", "1e30", "'nan'", "", "loud"):
        text = f"slots:\n- plugin: Delay\n  set: {{feedback: {value}}}\n"
        with pytest.raises(NeuralFXError, match=r"line 3: slots\[0\]\.set\.feedback"):
            server._host(Hello("mine", 48000, 1, 64, text=text))
    with pytest.raises(NeuralFXError, match=r"did you mean 'lead'\?"):
        server._host(Hello("laed", 48000, 1, 64))


def test_the_client_refuses_what_the_worker_would(server: StreamServer) -> None:
    remote = bridge.connect(f"127.0.0.1:{server.port}", "lead")
    try:
        for bad in (math.nan, math.inf, "nan", 1e30, None, 10**400):
            with pytest.raises(NeuralFXError, match="delay_feedback"):
                remote.delay_feedback = bad
    finally:
        remote.close()


# -- config files --------------------------------------------------------------------------------------------------

WRONG = {
    "midi:\n  controls:\n  - {cc: .inf, to: lead/mix}\n": r"line 3: midi\.controls\.0\.cc: .*, found inf",
    "midi:\n  controls:\n  - {cc: 1, to: lead/mix, low: .nan}\n": r"line 3: midi\.controls\.0\.low: .*, found nan",
    "midi:\n  contrlos: []\n": r"line 2: midi\.contrlos: unknown field \(did you mean 'controls'\?\); known fields: ",
    "bords: {}\n": r"line 1: bords: unknown field \(did you mean 'boards'\?\)",
    "boards: {lead: a.yaml}\nboards: {}\n": r"line 2: duplicate key 'boards' \(first on line 1\)",
    "boards: &b {}\ninstruments: *b\n": r"line 2: uses a YAML alias",
    "media: 3\n": r"line 1: media: expected a list, found 3",
}


@pytest.mark.parametrize("text", list(WRONG))
def test_wrong_configs_name_line_field_and_value(tmp_path: Path, text: str) -> None:
    (tmp_path / "worker.yaml").write_text(text)
    with pytest.raises(BridgeError, match=WRONG[text]):
        read_config(tmp_path / "worker.yaml")


def test_names_in_a_config_are_text_and_empty_parts_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_text("boards: {on: lead.yaml, 010: clean.yaml}\nmedia:\nmidi:\n  controls:\n")
    assert list(read_config(path).boards) == ["on", "010"]
    write_controls(path, MidiMap(controls=[Binding(cc=1, to="on/mix")]))
    config = read_config(path)
    assert list(config.boards) == ["on", "010"]
    assert config.midi.controls[0].to == "on/mix"
