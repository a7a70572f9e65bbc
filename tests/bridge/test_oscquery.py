"""OSCQuery: the tree over HTTP, values over the websocket, the announcement."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pedalboard
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import neural_fx
from bridge import limits
from bridge.host import BoardHost
from bridge.media import Media
from bridge.osc.packets import decode, encode
from bridge.osc.query import SERVICE, QueryServer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from neural_fx.pedalboard import Pedalboard
from tests.bridge.test_osc import until


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


# -- who may speak -------------------------------------------------------------------------------------------------


def exchange(query: QueryServer, data: bytes, wait: bool = True) -> tuple[int, bytes]:
    """Send bytes as they are; the status and the body of the answer, or 0 if there is none."""
    answer = b""
    with socket.create_connection(("127.0.0.1", query.port), 20) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(data)
        while wait and (part := peer.recv(65536)):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0), body


def ask(query: QueryServer, target: str = "/lead/mix", method: str = "GET", host: str = "", **fields: str) -> int:
    """The status of a request; fields are headers, with _ for -."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or here(query)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return exchange(query, "\r\n".join([*lines, "", ""]).encode("latin-1"))[0]


def here(query: QueryServer) -> str:
    return f"127.0.0.1:{query.port}"


def open_websocket(query: QueryServer, **options: Any) -> ClientConnection:
    target = options.pop("target", "/")
    return connect(f"ws://{here(query)}{target}", open_timeout=20, **options)


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://localhost.evil.com", "http://127.0.0.1:1"])
def test_web_pages_of_other_sites_cannot_control_the_worker(query: QueryServer, origin: str) -> None:
    host = query.osc.tree.boards["lead"]
    for target in ("/", f"/?token={query.token}"):
        with pytest.raises(InvalidStatus) as error, open_websocket(query, target=target, origin=origin) as peer:
            peer.send(encode("/lead/mix", 0.5))
        assert error.value.response.status_code == 403
        assert ask(query, target, Origin=origin) == 403
        assert ask(query, target, Sec_Fetch_Site="cross-site") == 403
        assert ask(query, target, "OPTIONS", Origin=origin, Access_Control_Request_Method="GET") in (400, 405)
    assert host.value("mix") == 1.0
    assert not query.web.websockets


@pytest.mark.parametrize("host", ["evil.com:{}", "127.0.0.1.evil.com:{}", "127.0.0.1:1", "127.0.0.1", "localhost.:{}"])
def test_pages_that_pretend_to_be_here_are_refused(query: QueryServer, host: str) -> None:
    """DNS rebinding: the name of the page leads here, but the browser still says it."""
    host = host.format(query.port)
    assert ask(query, f"/?token={query.token}", host=host) == 403
    assert ask(query, f"/?token={query.token}", host=host, Origin=f"http://{host}") == 403
    with pytest.raises(InvalidStatus) as error:
        open_websocket(query, target=f"/?token={query.token}", additional_headers={"Host": host})
    assert error.value.response.status_code in (400, 403)


def test_hosts_are_given_once(query: QueryServer) -> None:
    assert exchange(query, b"GET / HTTP/1.1\r\n\r\n")[0] == 400
    twice = f"Host: {here(query)}\r\nHost: evil.com\r\n"
    assert exchange(query, f"GET / HTTP/1.1\r\n{twice}\r\n".encode())[0] == 400


def test_own_pages_with_the_token_work(query: QueryServer) -> None:
    origin = f"http://{here(query)}"
    assert query.url == f"{origin}/?token={query.token}"
    assert ask(query, Origin=origin) == 401
    assert ask(query, Sec_Fetch_Site="none") == 401
    assert ask(query, f"/lead/mix?token={query.token}", Origin=origin) == 200
    assert ask(query, f"/lead/mix?VALUE&token={query.token}", Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate") == 200
    assert ask(query, Origin=origin, Authorization=f"Bearer {query.token}") == 200
    with pytest.raises(InvalidStatus) as error:
        open_websocket(query, origin=origin)
    assert error.value.response.status_code == 401
    with open_websocket(query, target=f"/?token={query.token}", origin=origin) as peer:
        peer.send(encode("/lead/mix", 0.5))
        peer.send(encode("/lead/mix"))
        assert decode(bytes(peer.recv(timeout=20)))[0].arguments == (0.5,)


def test_a_token_of_the_user_is_the_token_of_the_web(query: QueryServer) -> None:
    random = query.token
    query.osc.token = "größer & besser"
    assert "token" not in query.url, "what the user chose is not printed"
    assert ask(query, f"/?token={random}", Sec_Fetch_Site="none") == 401
    assert ask(query, "/?token=gr%C3%B6%C3%9Fer+%26%20besser", Sec_Fetch_Site="none") == 200
    assert ask(query, "/", Sec_Fetch_Site="none", Authorization="Bearer gr\u00c3\u00b6\u00c3\u009fer & besser") == 200
    assert ask(query, "/") == 200, "programs of this machine need none"
    for odd in ("%FF", "%00", "%ED%A0%80", "%", "x" * 8000, "&token=", "%0d%0aSet-Cookie:x"):
        assert ask(query, f"/?token={odd}", Sec_Fetch_Site="none") in (400, 401, 429)


def test_guesses_are_slowed_down_but_programs_of_this_machine_never_wait(query: QueryServer) -> None:
    now = time.monotonic()
    query.osc.guesses.clock = lambda: now
    statuses = [ask(query, f"/?token=guess{i}", Sec_Fetch_Site="none") for i in range(limits.GUESSES_AT_ONCE + 3)]
    assert statuses == [401] * limits.GUESSES_AT_ONCE + [429] * 3
    assert ask(query, f"/?token={query.token}", Sec_Fetch_Site="none") == 429
    assert ask(query, "/?token=guess") == 200
    now += 2
    assert ask(query, f"/?token={query.token}", Sec_Fetch_Site="none") == 200


def test_requests_change_nothing(query: QueryServer) -> None:
    host = query.osc.tree.boards["lead"]
    before = {place: host.value(place) for place in host.table()}
    for target in ("/lead/mix?VALUE=0.5", "/lead/mix?0.5", "/lead/save?x.yaml", "/lead/bypass/1", "/lead/panic"):
        assert ask(query, target) in (200, 204, 400, 404)
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        assert ask(query, "/lead/mix", method) in (400, 405)
    assert {place: host.value(place) for place in host.table()} == before


@pytest.mark.parametrize(
    "target",
    ["//", "//[", "//evil.com/lead", "/%", "/%ff%00", "/lead/../lead", "/?", "/?&&&", "/?" + "a&" * 3000, "/?="],
)
def test_odd_targets_are_answered(query: QueryServer, target: str) -> None:
    assert ask(query, target) in (200, 204, 400, 404)
    assert ask(query) == 200


def test_requests_for_other_servers_are_refused(query: QueryServer) -> None:
    for target in ("http://evil.com/", f"http://{here(query)}/", "evil.com:80", "*", ""):
        assert ask(query, target) == 400


def test_answers_go_into_no_cache_and_no_other_page(query: QueryServer) -> None:
    with urllib.request.urlopen(f"http://{here(query)}/", timeout=20) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


# -- what nobody can stop ------------------------------------------------------------------------------------------


def test_heads_are_small(query: QueryServer) -> None:
    """Four megabytes of headers are refused after 16 kB."""
    start = f"GET / HTTP/1.1\r\nHost: {here(query)}\r\n".encode()
    for filling in (b"X: " + b"y" * 8000 + b"\r\n", b"X: y\r\n", b"y"):
        status, _ = exchange(query, start + filling * (4_000_000 // len(filling)))
        assert status in (0, 400, 431), "0: the connection was reset while the rest was on its way"
    assert exchange(query, start + b"X: " + b"y" * 4000 + b"\r\n\r\n")[0] == 200
    assert exchange(query, start + (b"X: " + b"y" * 8000 + b"\r\n") * 3 + b"\r\n")[0] == 431


@pytest.mark.parametrize("junk", [b"\0" * 64 + b"\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\r\n", b"GET / HTTP/9\r\n\r\n"])
def test_what_is_no_request_is_refused(query: QueryServer, junk: bytes) -> None:
    assert exchange(query, junk)[0] == 400
    assert ask(query) == 200


def test_bodies_and_early_frames_are_refused(query: QueryServer) -> None:
    head = f"GET / HTTP/1.1\r\nHost: {here(query)}\r\n"
    assert exchange(query, f"{head}Content-Length: 5\r\n\r\nhello".encode())[0] == 400
    assert exchange(query, f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode())[0] == 400
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    assert exchange(query, f"{head}{upgrade}{key}".encode() + b"\x81\x80abcd")[0] == 400
    assert exchange(query, f"{head}{upgrade}\r\n".encode())[0] == 400


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nX: "], ids=["nothing", "line", "header"])
def test_requests_have_a_total_deadline(query: QueryServer, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Single bytes do not extend it."""
    monkeypatch.setattr(limits, "HTTP_HEAD_SECONDS", 0.5)
    answer, end = b"", time.monotonic() + 30
    with (
        socket.create_connection(("127.0.0.1", query.port), 20) as peer,
        contextlib.suppress(ConnectionError),  # reset, if this thread was too late to read the answer
    ):
        peer.sendall(data)
        peer.settimeout(0.05)
        while not answer and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                peer.sendall(data[-1:])
                answer = peer.recv(4096)
    until(lambda: query.osc.troubles.counts["web request refused"] == 1)
    assert answer.startswith(b"HTTP/1.1 408 ") or not answer


def test_too_many_connections_are_refused_with_a_sentence(query: QueryServer) -> None:
    crowd = [socket.create_connection(("127.0.0.1", query.port), 20) for _ in range(limits.HTTP_REQUESTS)]
    until(lambda: query.web.requests.count == limits.HTTP_REQUESTS)
    status, body = exchange(query, f"GET / HTTP/1.1\r\nHost: {here(query)}\r\n\r\n".encode())
    assert (status, "try again later" in json.loads(body)["error"]) == (503, True)
    for peer in crowd:
        peer.close()
    until(lambda: query.web.requests.count == 0)
    assert ask(query) == 200


def test_too_many_websockets_are_refused_and_places_come_back(query: QueryServer) -> None:
    crowd = [open_websocket(query) for _ in range(limits.WEBSOCKETS)]
    with pytest.raises(InvalidStatus) as error:
        open_websocket(query)
    assert error.value.response.status_code == 503
    assert ask(query) == 200, "requests have room of their own"
    for peer in crowd[:-1]:
        peer.close()
    until(lambda: query.web.open.count == 1)
    with open_websocket(query) as peer:
        peer.send(encode("/ping"))
        assert decode(bytes(peer.recv(timeout=20)))[0].address == "/pong"
    crowd[-1].close()


JUNK = {
    "empty": b"",
    "junk": b"junk",
    "negative element": b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc" + bytes(8),
    "subscribe nan": encode("/subscribe", float("nan")),
    "note inf": encode("/lead/note", float("inf"), 1),
    "text": "junk",
    "text of lists": "[" * 50_000,
    "no command": '{"DATA": "/lead/mix"}',
    "command of the wrong type": '{"COMMAND": ["LISTEN"], "DATA": {}}',
    "long path": json.dumps({"COMMAND": "LISTEN", "DATA": "/x" * 20_000}),
    "huge number": '{"COMMAND": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("message", JUNK.values(), ids=JUNK.keys())
def test_no_message_ends_a_websocket(query: QueryServer, message: bytes | str) -> None:
    with open_websocket(query) as peer:
        peer.send(message)
        peer.send(encode("/ping"))
        while decode(bytes(peer.recv(timeout=20)))[0].address != "/pong":
            pass
        peer.send([b"/pi", b"", b"ng\0\0\0"])  # in several frames
        while decode(bytes(peer.recv(timeout=20)))[0].address != "/pong":
            pass
        ((_, listened),) = query.osc.listeners.values()
        assert not listened


def test_messages_that_are_too_long_close_the_websocket_only(query: QueryServer) -> None:
    for parts in ([bytes(70_000)], [bytes(40_000)] * 3):
        with open_websocket(query) as peer:
            with contextlib.suppress(ConnectionClosed):
                peer.send(parts)
            with pytest.raises(ConnectionClosed) as closed:
                peer.recv(timeout=20)
            assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    until(lambda: query.web.open.count == 0)
    assert ask(query) == 200


def test_nodes_that_cannot_be_read_are_answered(query: QueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(query, "node", broken)
    assert ask(query) == 500
    monkeypatch.undo()
    assert ask(query) == 200


def test_a_listener_that_leaves_takes_nobodys_echoes(query: QueryServer) -> None:
    host = query.osc.tree.boards["lead"]
    listen = json.dumps({"COMMAND": "LISTEN", "DATA": "/lead/mix"})
    with open_websocket(query) as staying, open_websocket(query) as leaving:
        breaking = bare_websocket(query)
        for peer in (staying, leaving):
            peer.send(listen)
        until(lambda: sum(bool(listened) for _, listened in list(query.osc.listeners.values())) == 2)
        host.set("mix", 0.25)
        for peer in (staying, leaving):
            assert decode(bytes(peer.recv(timeout=20)))[0].arguments == (0.25,)
        leaving.close()
        breaking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        breaking.close()
        until(lambda: len(query.osc.listeners) == 1)
        host.set("mix", 0.75)
        while decode(bytes(staying.recv(timeout=20)))[0].arguments != (0.75,):
            pass


def bare_websocket(query: QueryServer) -> socket.socket:
    """A socket with an open websocket, for frames that no library would send."""
    head = f"GET / HTTP/1.1\r\nHost: {here(query)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(60)
    peer.connect(("127.0.0.1", query.port))
    peer.sendall(head.encode())
    assert peer.recv(12) == b"HTTP/1.1 101"
    return peer


def test_a_websocket_that_does_not_read_slows_nobody(query: QueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OSC_SEND_SECONDS", 0.5)
    monkeypatch.setattr(limits, "OSC_QUEUE_BYTES", 1 << 14)
    question = encode("/lead/reverb/room_size")
    frame = bytes([0x82, 0x80 | len(question)]) + bytes(4) + question
    with bare_websocket(query) as deaf, open_websocket(query) as peer:
        peer.send(json.dumps({"COMMAND": "LISTEN", "DATA": "/lead/mix"}))
        peer.send(encode("/ping"))
        assert decode(bytes(peer.recv(timeout=20)))[0].address == "/pong"
        with pytest.raises((ConnectionError, TimeoutError)):
            deaf.sendall(frame * 1_000_000)
        query.osc.tree.boards["lead"].set("mix", 0.25)
        assert decode(bytes(peer.recv(timeout=20)))[0].arguments == (0.25,)
        until(lambda: query.web.open.count == 1)
    assert query.osc.troubles.counts["websocket closed"] == 1


def test_silent_websockets_end(query: QueryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that answers no pings is gone, even if it sends bytes of a frame."""
    monkeypatch.setattr(limits, "WEBSOCKET_PING_SECONDS", 0.1)
    monkeypatch.setattr(limits, "WEBSOCKET_SILENT_SECONDS", 0.6)
    with bare_websocket(query) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(b"\x82\xfe\x40\x00abcd")
        while peer.recv(4096):
            peer.sendall(b"x")
    until(lambda: query.web.open.count == 0)


def test_closing_waits_for_nobody(query: QueryServer) -> None:
    """Open websockets, half-open ones and half requests: the port is closed and the peers are told."""
    websockets = [open_websocket(query, close_timeout=0.1) for _ in range(5)]
    half = [socket.create_connection(("127.0.0.1", query.port), 20) for _ in range(5)]
    half[0].sendall(b"GET / HT")
    until(lambda: query.web.requests.count == 5)
    query.close()
    until(lambda: not query.web.thread.is_alive())
    for peer in websockets:
        with pytest.raises(ConnectionClosed) as closed:
            peer.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    for connection in half:
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", query.port), 1).close()


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str) -> None:
    try:
        osc = OscServer(Tree({}, Media()), host=host, port=0, token="x" if host == "::" else "")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    server = QueryServer(osc, port=0, announce=False)
    try:
        assert server.url.startswith(f"http://[::1]:{server.port}/")
        with urllib.request.urlopen(f"http://[::1]:{server.port}/", timeout=20) as answer:
            assert json.loads(answer.read())["FULL_PATH"] == "/"
        with connect(f"ws://[::1]:{server.port}/", origin=None) as peer:
            peer.send(encode("/ping"))
            assert decode(bytes(peer.recv(timeout=20)))[0].address == "/pong"
    finally:
        server.close()
        osc.close()
