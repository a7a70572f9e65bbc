"""OSCQuery: the tree over HTTP, values over the websocket, the announcement."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pedalboard
import pytest
from websockets.sync.client import connect

import neural_fx
from bridge.host import BoardHost
from bridge.media import Media
from bridge.osc.packets import decode, encode
from bridge.osc.query import SERVICE, QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from neural_fx.pedalboard import Pedalboard


@pytest.fixture
def query() -> Iterator[QueryServer]:
    boards = {"lead": BoardHost("lead", lambda: Pedalboard([neural_fx.pedals.KlonGainStage(), pedalboard.Reverb()]))}
    osc = OscServer(Tree(boards, Media()), port=0)
    server = QueryServer(osc, port=0, announce=False)
    yield server
    server.close()
    osc.close()


def get(query: QueryServer, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{query.port}{path}", timeout=5) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        return json.loads(answer.read())


def test_the_tree_has_types_ranges_and_units(query: QueryServer) -> None:
    root = get(query, "/")
    slots = root["CONTENTS"]["lead"]["CONTENTS"]
    gain = slots["klon-gain-stage"]["CONTENTS"]["input_gain_db"]
    assert gain["FULL_PATH"] == "/lead/klon-gain-stage/input_gain_db"
    assert (gain["TYPE"], gain["ACCESS"], gain["VALUE"], gain["UNIT"]) == ("f", 3, [0.0], ["dB"])
    assert gain["RANGE"] == [{"MIN": -60, "MAX": 60}]
    assert "harder" in gain["DESCRIPTION"]
    assert get(query, "/lead/klon-gain-stage/input_gain_db") == gain
    assert get(query, "/lead/reverb/room_size?VALUE") == {"VALUE": [0.5]}
    assert slots["load"]["TYPE"] == "s"
    info = get(query, "/?HOST_INFO")
    assert info["OSC_PORT"] == query.osc.port
    assert info["EXTENSIONS"]["LISTEN"] is True


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/lead/a/b/c", 404), ("/lead?COLOR", 400)])
def test_errors_have_a_status(query: QueryServer, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        get(query, path)
    assert error.value.code == status
    assert json.loads(error.value.read())["error"]


def test_listeners_hear_what_they_asked_for(query: QueryServer) -> None:
    host = query.osc.tree.boards["lead"]
    with connect(f"ws://127.0.0.1:{query.port}") as peer:
        peer.send("junk")
        peer.send(json.dumps({"COMMAND": "LISTEN", "DATA": "/lead/mix"}))
        peer.send(encode("/lead/reverb/room_size", 0.75))
        while host.value("reverb/room_size") != 0.75:
            time.sleep(0.01)
        host.set("mix", 0.25)
        (message,) = decode(bytes(peer.recv(timeout=5)))
        assert (message.address, message.arguments) == ("/lead/mix", (0.25,))
        peer.send(json.dumps({"COMMAND": "IGNORE", "DATA": "/lead/mix"}))
        peer.send(encode("/lead/mix"))  # a question is still answered, on the same socket
        assert decode(bytes(peer.recv(timeout=5)))[0].arguments == (0.25,)
    assert not query.osc.subscribers


def test_it_is_announced() -> None:
    from zeroconf import ServiceBrowser, Zeroconf

    osc = OscServer(Tree({}, Media()), port=0)
    server = QueryServer(osc, port=0)
    found: list[str] = []
    with Zeroconf(interfaces=["127.0.0.1"]) as listening:
        ServiceBrowser(listening, SERVICE, handlers=[lambda **event: found.append(event["name"])])
        end = time.monotonic() + 10
        while not any(str(server.port) in name for name in found):
            if time.monotonic() > end:
                pytest.skip(f"no multicast on this machine {server.problem}")
            time.sleep(0.05)
    server.close()
    osc.close()
