"""OSC: patterns, packets, the tree, UDP and TCP, subscriptions, media, and real peers."""

from __future__ import annotations

import math
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge import limits
from bridge.errors import BridgeError, ProtocolError
from bridge.host import BoardHost
from bridge.media import Media
from bridge.osc import peers
from bridge.osc.outbox import Datagrams, Outbox
from bridge.osc.packets import Framing, decode, encode, sized, slip
from bridge.osc.patterns import matches
from bridge.osc.peers import Allowance, Deadlines, Machines, Peer
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
from bridge.throttle import Troubles
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from tests.conftest import noise


def board() -> Pedalboard:
    return Pedalboard([pedalboard.Gain(0), pedalboard.Reverb()])


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
def osc(media: Path) -> Iterator[OscServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        reply_port = free.getsockname()[1]
    boards = {"lead": BoardHost("lead", board), "bass": BoardHost("bass", board)}
    server = OscServer(Tree(boards, Media([media])), port=0, reply_port=reply_port)
    yield server
    server.close()


def until(check: Callable[[], Any], seconds: float = 5) -> Any:
    """What `check` says once it says something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


class Replies:
    """Listens where the worker answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(5)

    def next(self, address: str) -> tuple[Any, ...]:
        while True:
            message = decode(self.socket.recv(65536))[0]
            if message.address == address:
                return message.arguments


def ask(tree: Tree, address: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """The replies to one message, as (address, *arguments); those that come later are added to the same list."""
    found: list[tuple[Any, ...]] = []
    for message in decode(encode(address, *arguments)):
        tree.handle(message, lambda *reply: found.append(reply))
    return found


# -- patterns and packets ----------------------------------------------------------------------------------------


@given(st.text("ab/", max_size=8), st.text("ab*?/", max_size=8))
def test_wildcards_agree_with_regular_expressions(address: str, pattern: str) -> None:
    expression = pattern.replace("*", "[^/]*").replace("?", "[^/]")
    assert matches(pattern, address) == bool(re.fullmatch(expression, address))


def test_sets_choices_and_bombs() -> None:
    assert matches("/b/[!a]x", "/b/bx")
    assert not matches("/b/[!a]x", "/b/ax")
    assert matches("/{lead,bass,}/mix", "/bass/mix")
    assert not matches("/{lead", "/lead")
    began = time.perf_counter()
    assert not matches("/" + "*a" * 16 + "b", "/" + "a" * 500)
    assert not matches("/" + "*" * 17, "/a")
    assert time.perf_counter() - began < 1


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_junk_is_refused(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError as error:
        assert str(error)


def test_nested_bundles_are_refused() -> None:
    data = encode("/ping")
    for _ in range(1500):
        data = b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">i", len(data)) + data
    with pytest.raises(ProtocolError):
        decode(data)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.integers(1, 50), st.booleans())
def test_framing_survives_any_cuts(packets: list[bytes], cut: int, as_slip: bool) -> None:
    stream = b"".join((slip if as_slip else sized)(packet) for packet in packets)
    framing, found = Framing(), []
    for at in range(0, len(stream), cut):
        found += framing.feed(stream[at : at + cut])
    assert found == packets


# -- the tree ----------------------------------------------------------------------------------------------------


def test_addresses(osc: OscServer) -> None:
    tree, lead = osc.tree, osc.tree.boards["lead"]
    assert ask(tree, "/lead/gain/gain_db", -6.0) == []
    assert ask(tree, "/lead/gain/gain_db") == [("/lead/gain/gain_db", -6.0)]
    assert ask(tree, "/lead/1/gain_db") == [("/lead/1/gain_db", -6.0)]
    ask(tree, "/*/2/wet_level", 0.25)
    ask(tree, "/{lead,bass}/reverb/room_size", 1)
    for host in tree.boards.values():
        assert host.value("reverb/room_size") == 1.0
    ask(tree, "/lead/mix", 0.5)
    ask(tree, "/lead/mix/raw", 0.25)
    assert lead.value("mix") == 0.5, "mix has no slot, so no raw form"
    ask(tree, "/lead/bypass", 1)
    ask(tree, "/lead/gain/bypass", True)
    assert (lead.value("bypass"), lead.value("gain/bypass"), lead.value("reverb/bypass")) == (1.0, 1.0, 0.0)
    ask(tree, "/lead/gain/bypass/raw", 0.0)
    assert lead.value("gain/bypass") == 0.0
    assert ask(tree, "/ping")[0][0] == "/pong"


@pytest.mark.parametrize(
    ("address", "arguments", "words"),
    [
        ("/solo/mix", [0.5], "no board or instrument of that name; there is: lead, bass"),
        ("/lead/gain/drive", [0.5], "it has: bypass, gain_db"),
        ("/lead/3/gain_db", [0.5], "1 gain, 2 reverb"),
        ("/lead/mix", [2.0], "outside its range"),
        ("/lead/mix", [0.1, 0.2], "expected 1 argument, found 2"),
        ("/lead/gain/gain_db", ["loud"], "gain_db"),
        ("/lead/gain/gain_db/raw", [1.5], "outside its range 0 to 1"),
        ("/led/mix", [0.5], "did you mean 'lead'?"),
        ("/lead/gain/gian_db", [0.5], "did you mean 'gain_db'?"),
        ("/lead/gian/gain_db", [0.5], "did you mean 'gain'?"),
        ("/nothing*", [], "matches no address"),
        ("/midi/learn", ["lead/mix"], "no MIDI here"),
        ("/lead/load", ["../secret.yaml"], "leads out"),
        ("/lead/load", ["missing.yaml"], "no file"),
        ("/lead/load", [3.0], "expected a file name"),
        ("/render", ["a.wav", "b.wav"], "expected 3 arguments"),
        ("/render", ["a.wav", "b.wav", "solo"], "no board 'solo'"),
    ],
)
def test_errors_name_the_address(osc: OscServer, address: str, arguments: list[Any], words: str) -> None:
    (reply,) = ask(osc.tree, address, *arguments)
    assert reply[:2] == ("/error", address)
    assert words in reply[2]


def test_media_folders_are_a_fence(media: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (media / "link").symlink_to(tmp_path / "secret")
    (media / "a.wav").write_text("x")
    fence = Media([media])
    assert fence.existing("a.wav") == media / "a.wav"
    for name in ("../secret", str(tmp_path / "secret"), "link", "a/../../secret", "x\0y", ""):
        with pytest.raises(BridgeError):
            fence.existing(name)
    with pytest.raises(BridgeError, match="exists already"):
        fence.new("a.wav")
    with pytest.raises(BridgeError, match="no such folder"):
        fence.new("deep/b.wav")
    with pytest.raises(BridgeError, match="--media"):
        Media().existing("a.wav")


def test_boards_are_saved_and_loaded(osc: OscServer, media: Path) -> None:
    ask(osc.tree, "/lead/gain/gain_db", -12.0)
    assert ask(osc.tree, "/lead/save", "mine.yaml") == [("/lead/save", "mine.yaml")]
    found = ask(osc.tree, "/bass/load", "mine.yaml")
    assert until(lambda: found, 60) == [("/bass/load", "mine.yaml")]
    assert osc.tree.boards["bass"].value("gain/gain_db") == -12.0
    (media / "bad.yaml").write_text("slots: 3")
    found = ask(osc.tree, "/bass/load", "bad.yaml")
    assert until(lambda: found, 60)[0][:2] == ("/error", "/bass/load")
    assert osc.tree.boards["bass"].value("gain/gain_db") == -12.0, "a failed load changes nothing"


def test_renders_report(osc: OscServer, media: Path) -> None:
    soundfile.write(media / "in.wav", 0.5 * noise(30000), 48000)
    ask(osc.tree, "/lead/gain/gain_db", -20.0)
    ask(osc.tree, "/lead/reverb/wet_level", 0.0)
    ask(osc.tree, "/lead/reverb/dry_level", 0.5)
    found = ask(osc.tree, "/render", "in.wav", "out.wav", "lead")
    done = until(lambda: [r for r in found if r[0] == "/render/done"])[0]
    assert done[2] == "out.wav"
    assert [r[2] for r in found if r[0] == "/render/progress"][-1] == pytest.approx(1.0)
    out, _ = soundfile.read(media / "out.wav")
    assert 0.05 < out.std() / soundfile.read(media / "in.wav")[0].std() < 0.15
    (media / "bad.wav").write_text("no")
    found = ask(osc.tree, "/render", "bad.wav", "bad-out.wav", "lead")
    assert until(lambda: found)[0][0] == "/render/error"
    assert not (media / "bad-out.wav").exists()


# -- over the wire -----------------------------------------------------------------------------------------------


def test_udp_questions_are_answered(osc: OscServer) -> None:
    replies = Replies(osc.reply_port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for packet in (b"", b"junk", b"#bundle\0", encode("/lead/gain/gain_db", -3.0), encode("/lead/gain/gain_db")):
            peer.sendto(packet, ("127.0.0.1", osc.port))
        assert replies.next("/lead/gain/gain_db") == (-3.0,)
        peer.sendto(encode("/nowhere", 1.0), ("127.0.0.1", osc.port))
        assert replies.next("/error")[0] == "/nowhere"
    replies.socket.close()


def test_other_machines_need_the_token(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody counts as another machine here; a token that is said is remembered for that connection alone."""
    osc.token = "secret"
    assert osc.trusts("127.0.0.1")
    assert not osc.trusts("192.168.1.5")
    monkeypatch.setattr(OscServer, "trusts", lambda self, machine: False)
    framing = Framing()
    with socket.create_connection(("127.0.0.1", osc.port), 5) as peer:
        peer.sendall(sized(encode("/lead/mix", 0.5)) + sized(encode("/token", "guess")))
        packets: list[bytes] = []
        while len(packets) < 2:
            packets += framing.feed(peer.recv(4096))
        assert all("/token" in decode(packet)[0].arguments[1] for packet in packets)
        assert osc.tree.boards["lead"].value("mix") == 1.0
        peer.sendall(sized(encode("/token", "secret")) + sized(encode("/lead/mix", 0.5)))
        until(lambda: osc.tree.boards["lead"].value("mix") == 0.5)


@pytest.mark.parametrize("frame", [slip, sized], ids=["slip", "size"])
def test_tcp_in_both_framings(osc: OscServer, frame: Callable[[bytes], bytes]) -> None:
    framing = Framing()
    with socket.create_connection(("127.0.0.1", osc.port), 5) as peer:
        peer.sendall(frame(encode("/lead/mix", 0.25)) + frame(encode("/lead/mix")))
        packet = until(lambda: list(framing.feed(peer.recv(4096))))[0]
        assert (decode(packet)[0].address, decode(packet)[0].arguments) == ("/lead/mix", (0.25,))


def test_subscribers_hear_meters_and_echoes(osc: OscServer) -> None:
    replies = Replies(0)
    stream = osc.tree.boards["lead"].open(Spec(48000, 1, 480))
    stream.process(np.full((1, 480), 0.5, np.float32))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(encode("/subscribe", replies.socket.getsockname()[1]), ("127.0.0.1", osc.port))
        assert replies.next("/lead/gain/gain_db") == (0.0,), "first, everything as it stands"
        osc.tree.boards["lead"].set("gain/gain_db", -9.0)
        assert replies.next("/lead/gain/gain_db") == (-9.0,)
        stream.process(np.full((1, 480), 0.5, np.float32))
        until(lambda: replies.next("/lead/meter")[0] > -7)
        assert replies.next("/lead/cpu")[0] > 0
        assert replies.next("/lead/load")[0] > 0, "deprecated, but still sent"
        assert replies.next("/lead/dropouts") == (stream.late,)
        peer.sendto(encode("/unsubscribe"), ("127.0.0.1", osc.port))
        until(lambda: not osc.subscribers)
    replies.socket.close()


def bundle(when: float, *messages: tuple[str, float]) -> bytes:
    builder = OscBundleBuilder(when)
    for address, value in messages:
        message = OscMessageBuilder(address)
        message.add_arg(value)
        builder.add_content(message.build())
    return bytes(builder.build().dgram)


def test_time_tags_are_kept_to_the_sample(osc: OscServer) -> None:
    """A gain that falls at a time in the future: the stream plays on, and falls at that very sample."""
    host = osc.tree.boards["lead"]
    host.set("reverb/bypass", 1)
    stream = host.open(Spec(48000, 1, 480))
    x = np.ones((1, 480), np.float32)
    stream.process(x)
    when = stream.schedule.now + 0.0555
    for message in decode(bundle(when, ("/lead/gain/gain_db", -40.0))):
        osc.tree.handle(message, lambda *reply: None)
    out = np.concatenate([stream.process(x) for _ in range(12)], 1)[0]
    settled = out[: int(0.055 * 48000)]
    assert np.abs(settled - settled[0]).max() < 1e-5
    first = int(np.argmax(np.abs(out - settled[0]) > 1e-4))
    assert abs(first - 0.0555 * 48000) <= 3
    assert decode(bundle(time.time() - 1, ("/lead/mix", 0.5)))[0].when == 0, "late ones are applied at once"


def test_twenty_thousand_messages_a_second_over_tcp(osc: OscServer) -> None:
    """None is lost, whatever the pace at which they are handled."""
    host = osc.tree.boards["bass"]
    seen: list[float] = []
    host.set = lambda address, value, when=0.0: seen.append(float(str(value)))  # type: ignore[method-assign]
    packets = b"".join(sized(encode("/bass/gain/gain_db", -float(i % 50))) for i in range(20000))
    with socket.create_connection(("127.0.0.1", osc.port), 30) as peer:
        peer.sendall(packets)
        until(lambda: len(seen) == 20000, 60)
    assert seen == [-float(i % 50) for i in range(20000)]


# -- peers that misbehave ----------------------------------------------------------------------------------------


class Tcp:
    """A TCP peer that reads what it is asked for."""

    def __init__(self, osc: OscServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", osc.port), 10)
        self.framing, self.packets = Framing(), list[bytes]()
        self.framing.is_slip = False

    def send(self, address: str, *arguments: Any) -> None:
        self.socket.sendall(sized(encode(address, *arguments)))

    def next(self, address: str) -> tuple[Any, ...]:
        while True:
            while not self.packets:
                data = self.socket.recv(65536)
                assert data, "the server hung up"
                self.packets += self.framing.feed(data)
            message = decode(self.packets.pop(0))[0]
            if message.address == address:
                return message.arguments

    def ended(self) -> bool:
        """Read on until the server hangs up."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        self.socket.close()
        return True


def raw(address: str, tags: str, data: bytes = b"") -> bytes:
    """A message whose parts need not fit together."""
    pad = lambda text: text.encode() + bytes(4 - len(text.encode()) % 4)  # noqa: E731
    return pad(address) + pad(tags) + data


NASTY = {
    "subscribe nan": encode("/subscribe", float("nan")),
    "subscribe inf": encode("/subscribe", float("inf")),
    "subscribe infinitum": raw("/subscribe", ",I"),
    "subscribe 1e300": raw("/subscribe", ",d", struct.pack(">d", 1e300)),
    "subscribe half": encode("/subscribe", 9000.5),
    "subscribe 0": encode("/subscribe", 0),
    "subscribe 65536": encode("/subscribe", 65536),
    "subscribe -1": encode("/subscribe", -1),
    "subscribe text": encode("/subscribe", "nan"),
    "subscribe bool": encode("/subscribe", True),
    "subscribe nothing": raw("/subscribe", ",N"),
    "subscribe array": raw("/subscribe", ",[i]", bytes(4)),
    "subscribe blob": encode("/subscribe", b"xx"),
    "unsubscribe nan": encode("/unsubscribe", float("nan")),
    "parameter nan": encode("/lead/mix", float("nan")),
    "parameter inf": encode("/lead/mix", float("inf")),
    "parameter huge": raw("/lead/mix", ",h", struct.pack(">q", 2**63 - 1)),
    "parameter array": raw("/lead/mix", ",[[f]]", bytes(4)),
    "note inf": encode("/lead/note", float("inf"), 1),
    "load a circle of links": encode("/lead/load", "circle.yaml"),
    "save to a circle of links": encode("/lead/save", "circle.yaml"),
    "render a circle of links": encode("/render", "circle.yaml", "circle.yaml", "lead"),
    "load a long name": encode("/lead/load", "x/" * 500),
    "load a zero": raw("/lead/load", ",s", b"a\0b\0"),
    "token nothing": encode("/token"),
    "token number": encode("/token", 3),
    "unknown tag": raw("/lead/mix", ",\x1b"),
    "tags without data": raw("/lead/mix", ",fffffff"),
    "blob of negative size": raw("/lead/mix", ",b", struct.pack(">i", -4)),
    "blob of huge size": raw("/lead/mix", ",b", struct.pack(">i", 2**31 - 1)),
    "unfinished array": raw("/lead/mix", ",[[[["),
    "arrays without start": raw("/lead/mix", ",]]"),
    "deep arrays": raw("/lead/mix", "," + "[" * 5000 + "]" * 5000),
    "no text": b"/\xff\xfe\0",
    "no end": b"/lead/mix",
    "element of negative size": b"#bundle\0" + bytes(8) + struct.pack(">i", -4) + bytes(8),
    "element of no size": b"#bundle\0" + bytes(8) + bytes(4) * 100,
    "element of huge size": b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 1) + encode("/ping"),
    "bundle of junk": b"#bundle\0" + bytes(8) + struct.pack(">i", 4) + b"junk",
    "stars": encode("/" + "*" * 400),
    "brackets": encode("/{{{{[[[[/]]]]}}}}"),
    "empty address": encode("/"),
}


@pytest.fixture
def nasty(osc: OscServer, media: Path) -> OscServer:
    (media / "circle.yaml").symlink_to(media / "circle.yaml")
    return osc


@pytest.mark.parametrize("packet", NASTY.values(), ids=NASTY.keys())
def test_no_packet_ends_a_thread(nasty: OscServer, packet: bytes) -> None:
    """After it, UDP, TCP and the meters go on."""
    replies = Replies(nasty.reply_port)
    tcp = Tcp(nasty)
    tcp.socket.sendall(sized(packet) + sized(encode("/ping")))
    assert tcp.next("/pong")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(packet, ("127.0.0.1", nasty.port))
        peer.sendto(encode("/ping"), ("127.0.0.1", nasty.port))
        assert replies.next("/pong")
    tcp.send("/subscribe")
    assert tcp.next("/lead/meter")
    tcp.socket.close()
    replies.socket.close()
    assert all(thread.is_alive() for thread in nasty.threads)


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_browsers_cannot_speak_osc(osc: OscServer, method: str) -> None:
    """A page may send any body to any port: the connection ends before it is read."""
    tcp = Tcp(osc)
    body = sized(encode("/lead/mix", 0.5)) + slip(encode("/lead/mix", 0.5))
    tcp.socket.sendall(f"{method} / HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert tcp.ended()
    assert osc.tree.boards["lead"].value("mix") == 1.0


def test_errors_of_any_kind_are_answered_and_counted(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = osc.tree.handle

    def broken(message: Any, reply: Any, *who: Any) -> None:
        if message.address == "/lead/mix":
            raise RuntimeError("Symlink loop from '/tmp'\x1b[2J")
        handle(message, reply, *who)

    monkeypatch.setattr(osc.tree, "handle", broken)
    lines: list[str] = []
    osc.troubles.log = lines.append
    tcp = Tcp(osc)
    for _ in range(5):
        tcp.send("/lead/mix", 0.5)
    assert tcp.next("/error") == ("/lead/mix", "Symlink loop from '/tmp'")
    tcp.send("/ping")
    assert tcp.next("/pong")
    assert osc.troubles.counts["OSC message failed"] == 5
    assert len(lines) == 1
    tcp.socket.close()


def test_a_board_without_meters_does_not_end_those_of_others(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    tcp = Tcp(osc)
    tcp.send("/subscribe")
    assert tcp.next("/lead/meter")
    monkeypatch.setattr(osc.tree.boards["lead"], "table", broken)
    until(lambda: osc.troubles.counts["meters"])
    for _ in range(3):
        assert tcp.next("/bass/meter")
    tcp.socket.close()


@given(st.binary(max_size=200))
def test_bundles_of_junk_are_refused(data: bytes) -> None:
    try:
        decode(b"#bundle\0" + bytes(8) + data)
    except ProtocolError as error:
        assert str(error)


def test_bundles_are_bounded() -> None:
    element = struct.pack(">i", 4) + b"/a\0\0"
    head = b"#bundle\0" + bytes(8)
    assert len(decode(head + element * limits.OSC_MESSAGES)) == limits.OSC_MESSAGES
    with pytest.raises(ProtocolError, match="over 4096"):
        decode(head + element * (limits.OSC_MESSAGES + 1))
    half = head + element * (limits.OSC_MESSAGES // 2 + 1)
    with pytest.raises(ProtocolError, match="over 4096"):
        decode(head + (struct.pack(">i", len(half)) + half) * 2)
    data = encode("/ping")
    for depth in range(1, 10):
        data = head + struct.pack(">i", len(data)) + data
        if depth <= 8:
            assert decode(data)[0].address == "/ping"
    with pytest.raises(ProtocolError, match="nested too deeply"):
        decode(data)


def test_packets_of_other_senders_are_read_as_before() -> None:
    """Types that senders use, in one message; a float that Reaktor cut short; an address without tags."""
    data = struct.pack(">iqfd", -1, 2**40, 0.5, 0.25) + b"ab\0\0" + struct.pack(">i", 3) + b"xyz\0"
    (message,) = decode(raw("/a", ",ihfdsb[TF]N", data))
    assert message.arguments == (-1, 2**40, 0.5, 0.25, "ab", b"xyz", [True, False], None)
    assert decode(raw("/a", ",f", b"\x3f"))[0].arguments == (0.5,)
    assert decode(b"/a\0\0")[0].arguments == ()
    assert decode(encode("/é", "ü"))[0].arguments == ("ü",)


@pytest.mark.parametrize("ahead", [limits.OSC_HORIZON_SECONDS + 60, 86400.0, 2.0**31 - 100])
def test_times_far_ahead_are_refused(osc: OscServer, ahead: float) -> None:
    tcp = Tcp(osc)
    when = min(time.time() + ahead, 2.0**32 - 2208988800 - 1)
    tcp.socket.sendall(sized(bundle(when, ("/lead/mix", 0.5))))
    address, sentence = tcp.next("/error")
    assert address == "/lead/mix"
    assert "ahead; 3600 s at most" in sentence
    assert osc.tree.boards["lead"].value("mix") == 1.0
    tcp.socket.sendall(sized(bundle(time.time() + limits.OSC_HORIZON_SECONDS - 60, ("/lead/mix", 0.25))))
    until(lambda: osc.tree.boards["lead"].value("mix") == 0.25)
    tcp.socket.close()


def test_replies_never_raise_and_are_clean() -> None:
    found: list[bytes] = []
    peer = Peer(lambda packet, key: found.append(packet))
    for value in (2**200, object(), {}, "\udc80", "a\0b", b"", np.float32(1), float("nan"), None):
        peer.reply("/lead/mix", value)
    peer.reply("/error", "/lead/mix\x1b[2J", "no file '\udc80\n\u202ex'")
    assert decode(found[-1])[0].arguments == ("/lead/mix", "no file ' x'")
    assert all(decode(packet) for packet in found)

    def gone(packet: bytes, key: object) -> None:
        raise BrokenPipeError

    Peer(gone).reply("/pong")


def test_a_peer_that_does_not_read_slows_nobody(osc: OscServer) -> None:
    """Its queue keeps the newest value of each address, and `put` never waits."""
    deaf, theirs = socket.socketpair()
    deaf.settimeout(0.1)
    outbox = Outbox(deaf)
    peer = Peer(outbox.put)
    tcp = Tcp(osc)
    tcp.send("/subscribe")
    tcp.next("/lead/meter")
    osc.subscribers["deaf"] = peer
    for i in range(20000):
        peer.update("/lead/meter", float(i), "x" * 200)
    assert outbox._cost <= limits.OSC_QUEUE_BYTES
    assert not outbox.ended
    for _ in range(5):
        tcp.next("/lead/meter")
    outbox.end()
    theirs.close()
    tcp.socket.close()


def test_replies_that_nobody_reads_end_the_connection(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OSC_SEND_SECONDS", 0.5)
    monkeypatch.setattr(limits, "OSC_QUEUE_BYTES", 1 << 14)
    deaf, tcp = Tcp(osc), Tcp(osc)
    tcp.send("/ping")  # or it would be a connection that never says anything
    assert tcp.next("/pong")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with pytest.raises((ConnectionError, TimeoutError)):
        deaf.socket.sendall(sized(encode("/lead/reverb/room_size")) * 1_000_000)
    until(lambda: len(osc.connections) == 1, 20)
    assert osc.troubles.counts["OSC connection closed"] == 1
    tcp.send("/ping")
    assert tcp.next("/pong")
    tcp.socket.close()
    deaf.socket.close()


def test_many_answers_to_a_slow_reader_arrive(osc: OscServer) -> None:
    """Who asks much and reads late is waited for, on the thread that serves it alone."""
    tcp = Tcp(osc)
    count = 20000
    sender = threading.Thread(target=lambda: tcp.socket.sendall(sized(encode("/lead/reverb/room_size")) * count))
    sender.start()
    for _ in range(count):
        assert tcp.next("/lead/reverb/room_size") == (0.5,)
    sender.join()
    tcp.socket.close()


def test_updates_replace_older_ones_and_replies_keep_their_order() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.1)
    outbox = Outbox(ours)
    outbox._thread = threading.current_thread()  # nothing is sent before all is queued
    peer = Peer(outbox.put)
    peer.reply("/first")
    peer.update("/meter", 1.0)
    peer.reply("/second")
    peer.update("/meter", 2.0)
    assert [decode(packet)[0].address for packet in outbox._queue.values()] == ["/first", "/meter", "/second"]
    assert decode(outbox._queue["/meter"])[0].arguments == (2.0,)
    outbox.end()
    theirs.close()


def test_datagrams_are_bounded_for_each_peer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        datagrams = Datagrams(udp, Troubles())
        datagrams.end()
        datagrams.ended = False  # queue, but do not send
        for i in range(50000):
            datagrams.put(("127.0.0.1", 1), b"x" * 1000)
            datagrams.put(("127.0.0.1", 2), b"y", i % 3)
        assert datagrams._costs["127.0.0.1", 1] <= limits.OSC_QUEUE_BYTES
        assert sum(where[1] == 2 for _, where in datagrams._queue.values()) == 3
        assert datagrams.dropped > 40000


def test_an_address_that_cannot_be_reached_stops_no_meters(osc: OscServer) -> None:
    replies = Replies(0)
    osc.datagrams.put(("no such host.invalid", 1), b"x")
    osc.datagrams.put(("127.0.0.1", 0), b"x")
    osc.datagrams.put(("127.0.0.1", 9), b"x" * 70000)
    osc.datagrams.put(replies.socket.getsockname(), encode("/pong"))
    assert replies.next("/pong") == ()
    assert osc.troubles.counts["UDP packet not sent"] >= 2
    replies.socket.close()


def test_a_subscriber_that_leaves_takes_nobodys_meters(osc: OscServer) -> None:
    staying, leaving, breaking = Tcp(osc), Tcp(osc), Tcp(osc)
    for tcp in (staying, leaving, breaking):
        tcp.send("/subscribe")
        tcp.next("/lead/meter")
    leaving.socket.close()
    breaking.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    breaking.socket.close()
    until(lambda: len(osc.subscribers) == 1)
    for _ in range(3):
        staying.next("/lead/meter")
    staying.socket.close()


# -- subscriptions -----------------------------------------------------------------------------------------------


def test_programs_of_one_machine_subscribe_each(osc: OscServer) -> None:
    first, second = Replies(0), Replies(0)
    ports = [replies.socket.getsockname()[1] for replies in (first, second)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for port in ports:
            peer.sendto(encode("/subscribe", float(port)), ("127.0.0.1", osc.port))
        first.next("/lead/meter")
        second.next("/lead/meter")
        assert set(osc.subscribers) == {("127.0.0.1", port) for port in ports}
        peer.sendto(encode("/unsubscribe", ports[0]), ("127.0.0.1", osc.port))
        until(lambda: len(osc.subscribers) == 1)
        second.next("/lead/meter")
        for _ in range(3):
            peer.sendto(encode("/subscribe", ports[0]), ("127.0.0.1", osc.port))
        until(lambda: len(osc.subscribers) == 2)
        peer.sendto(encode("/unsubscribe"), ("127.0.0.1", osc.port))
        until(lambda: not osc.subscribers)
    first.socket.close()
    second.socket.close()


def test_udp_subscriptions_end_unless_they_are_renewed(osc: OscServer) -> None:
    replies = Replies(0)
    port = replies.socket.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(encode("/subscribe", port), ("127.0.0.1", osc.port))
        replies.next("/lead/meter")
        subscriber = osc.subscribers["127.0.0.1", port]
        assert isinstance(subscriber, peers.Subscriber)
        assert subscriber.owner is not None
        old = time.monotonic() - limits.OSC_SUBSCRIPTION_SECONDS - 1
        subscriber.heard = old
        osc._expire()
        assert osc.subscribers, "a packet of the machine renewed it"
        subscriber.owner.heard = old
        assert replies.next("/error")[0] == "/subscribe"
        assert not osc.subscribers
        peer.sendto(encode("/subscribe", port), ("127.0.0.1", osc.port))
        replies.next("/lead/meter")
    replies.socket.close()


def test_subscribers_are_bounded_and_the_quietest_is_forgotten(osc: OscServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for port in range(50000, 50040):
            peer.sendto(encode("/subscribe", port), ("127.0.0.1", osc.port))
        until(lambda: ("127.0.0.1", 50039) in osc.subscribers)
    assert len(osc.subscribers) == limits.OSC_SUBSCRIBERS_OF_A_MACHINE


# -- limits and deadlines ----------------------------------------------------------------------------------------


def trickle(tcp: Tcp, data: bytes, seconds: float = 20) -> bool:
    """Send a byte now and then until the server hangs up."""
    end = time.monotonic() + seconds
    tcp.socket.settimeout(0.05)
    try:
        while time.monotonic() < end:
            tcp.socket.sendall(data)
            try:
                if not tcp.socket.recv(4096):
                    return True
            except TimeoutError:
                continue
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("data", [b"", b"\0", b"\xc0", b"/"], ids=["nothing", "size", "slip ends", "slip"])
def test_the_first_packet_has_a_total_deadline(osc: OscServer, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(limits, "OSC_FIRST_PACKET_SECONDS", 0.5)
    tcp = Tcp(osc)
    assert trickle(tcp, data)
    until(lambda: not osc.connections)
    tcp.socket.close()


def test_later_packets_have_a_total_deadline(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OSC_PACKET_SECONDS", 0.5)
    tcp = Tcp(osc)
    tcp.send("/ping")
    tcp.next("/pong")
    tcp.socket.sendall(struct.pack(">i", 60000))
    assert trickle(tcp, b"x")
    tcp.socket.close()


def test_idle_connections_end_but_subscribers_stay(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OSC_IDLE_SECONDS", 0.3)
    idle, subscriber = Tcp(osc), Tcp(osc)
    subscriber.send("/subscribe")
    idle.send("/ping")
    assert idle.ended()
    until(lambda: len(osc.connections) == 1)
    for _ in range(10):
        subscriber.next("/lead/meter")
    subscriber.socket.close()


def test_a_peer_that_waits_for_replies_is_not_idle(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A render may take longer than a peer may be silent; its progress keeps the connection open."""
    monkeypatch.setattr(limits, "OSC_IDLE_SECONDS", 0.1)
    found: list[Any] = []
    monkeypatch.setattr(osc.tree, "handle", lambda message, reply, *who: found.append(reply))
    tcp = Tcp(osc)
    (outbox,) = until(lambda: list(osc.connections.values()))
    outbox.sent = math.inf  # as if something were sent at every moment
    tcp.send("/render", "in.wav", "out.wav", "lead")
    (reply,) = until(lambda: found)
    time.sleep(1.0)
    reply("/render/done", 1, "out.wav")
    assert tcp.next("/render/done") == (1, "out.wav")
    assert tcp.ended(), "then it is idle"
    assert outbox.sent < math.inf


def test_what_a_peer_started_learns_that_it_left(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(osc.tree, "handle", lambda message, reply, gone, peer: found.append((gone, peer)))
    first, second = Tcp(osc), Tcp(osc)
    first.send("/render", "in.wav", "out.wav", "lead")
    second.send("/render", "in.wav", "out.wav", "lead")
    (gone, one), (_, other) = until(lambda: found[1:] and found)
    assert one != other, "each has a limit of its own"
    assert not gone()
    first.socket.close()
    second.socket.close()
    until(gone)


def test_expensive_messages_count_for_more(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.time, "monotonic", lambda: 100.0)
    handled: list[str] = []
    monkeypatch.setattr(osc.tree, "handle", lambda message, *who: handled.append(message.address))
    for address, most in (("/*/mix", 500), ("/lead/load", 100), ("/render", 100)):
        handled.clear()
        peer = Peer(lambda packet, key: None)
        for _ in range(600):
            osc.receive(encode(address, "x"), peer, None)
        assert len(handled) == most


def test_deadlines_are_total() -> None:
    def problem(trusted: bool = True, busy: bool = False, **times: Any) -> str:
        now = time.monotonic()
        return Deadlines(10, 20, 300, 40, **{k: now - t for k, t in times.items()}).problem(trusted, busy)

    assert problem(began=5) == ""
    assert "first" not in problem(began=100, heard=50)
    assert problem(began=11) == "no complete packet within 10 s"
    assert problem(began=100, heard=1, partial=21) == "a packet took longer than 20 s"
    assert problem(began=41, heard=1, trusted=False) == "no token within 40 s"
    assert problem(began=999, heard=301) == "idle for 300 s"
    assert problem(began=999, heard=301, busy=True) == ""
    deadlines = Deadlines(10, 20, 300, 40)
    deadlines.received(0, True)
    begun = deadlines.partial
    deadlines.received(0, True)
    assert deadlines.partial == begun, "more bytes of the same packet give no more time"
    deadlines.received(1, False)
    assert deadlines.partial is None


def test_too_many_connections_are_refused_and_places_come_back(osc: OscServer) -> None:
    crowd = [Tcp(osc) for _ in range(limits.OSC_CONNECTIONS)]
    for tcp in crowd:
        tcp.send("/ping")
    for tcp in crowd:
        tcp.next("/pong")
    refused = Tcp(osc)
    assert "too many connections" in refused.next("/error")[1]
    assert refused.ended()
    crowd.pop().socket.close()
    until(lambda: osc.limit.count < limits.OSC_CONNECTIONS)
    late = Tcp(osc)
    late.send("/ping")
    assert late.next("/pong")
    for tcp in (*crowd, late):
        tcp.socket.close()


def test_a_program_that_floods_uses_up_only_its_own_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.time, "monotonic", lambda: 100.0)
    machines = Machines(lambda address: Peer(lambda packet, key: None, address[0]))
    flood, quiet = machines.allowance(("127.0.0.1", 1)), machines.allowance(("127.0.0.1", 2))
    assert not [flood.take(1) for _ in range(limits.OSC_MESSAGES_PER_SECOND + 1)][-1][0]
    assert quiet.take(1)[0]
    assert machines.get(("127.0.0.1", 1)) is machines.get(("127.0.0.1", 2)), "replies go to one port of a machine"
    monkeypatch.setattr(peers.time, "monotonic", lambda: 101.0)
    assert flood.take(1) == (True, 1), "and it learns how many were dropped"


def test_strangers_do_not_push_out_those_with_the_token() -> None:
    machines = Machines(lambda address: Peer(lambda packet, key: None, address[0], trusted=False))
    friend = machines.get(("10.0.0.1", 1))
    friend.trusted = True
    machines.get(("10.0.0.1", 1))
    for i in range(5000):
        machines.get((f"11.0.{i >> 8}.{i & 255}", 1))
        machines.allowance((f"11.0.{i >> 8}.{i & 255}", 1))
    assert machines.get(("10.0.0.1", 2)) is friend
    assert len(machines._strangers) <= limits.OSC_MACHINES
    assert len(machines._allowances) <= limits.OSC_MACHINES


def test_complaints_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender whose address is forged makes us send little to whoever has that address."""
    monkeypatch.setattr(peers.time, "monotonic", lambda: 100.0)
    found: list[bytes] = []
    peer = Peer(lambda packet, key: found.append(packet))
    for _ in range(1000):
        peer.complain("/x", "no")
    assert len(found) == limits.OSC_COMPLAINTS_PER_SECOND
    assert Allowance().take(limits.OSC_MESSAGES_PER_SECOND) == (True, 0)


def test_guesses_of_the_token_are_slowed_down(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    osc.token = "sécret"
    now = time.monotonic()
    osc.guesses.clock = lambda: now
    local = Tcp(osc)
    local.send("/ping")
    assert local.next("/pong")
    monkeypatch.setattr(OscServer, "trusts", lambda self, machine: False)
    monkeypatch.setattr(limits, "OSC_COMPLAINTS_PER_SECOND", 10**6)
    tcp = Tcp(osc)
    for _ in range(limits.GUESSES_AT_ONCE):
        tcp.send("/token", "guess")
        assert tcp.next("/error")[1].startswith("wrong token")
    tcp.send("/token", "sécret")
    assert tcp.next("/error")[1].startswith("too many wrong tokens; wait 1.0 seconds")
    again = Tcp(osc)
    again.send("/token", "sécret")
    assert again.next("/error")[1].startswith("too many"), "another connection does not help"
    local.send("/token", "guess")
    local.send("/ping")
    assert local.next("/pong"), "a peer of this machine needs no token"
    now += 2
    tcp.send("/token", "sécret")
    tcp.send("/ping")
    assert tcp.next("/pong")
    for peer in (tcp, again, local):
        peer.socket.close()


def test_strangers_do_not_keep_connections(osc: OscServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OSC_TOKEN_SECONDS", 0.3)
    monkeypatch.setattr(OscServer, "trusts", lambda self, machine: False)
    osc.token = "secret"
    tcp = Tcp(osc)
    tcp.send("/unsubscribe")
    assert tcp.ended()
    until(lambda: osc.troubles.counts["OSC connection closed"] == 1)


@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str, media: Path) -> None:
    try:
        osc = OscServer(Tree({"lead": BoardHost("lead", board)}, Media([media])), host=host, port=0, token="x")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    families = [socket.AF_INET6] + [socket.AF_INET] * (host == "::" and socket.has_dualstack_ipv6())
    try:
        for family in families:
            where = "::1" if family == socket.AF_INET6 else "127.0.0.1"
            with socket.socket(family, socket.SOCK_DGRAM) as udp:
                udp.bind((where, 0))
                udp.settimeout(10)
                udp.sendto(encode("/subscribe", udp.getsockname()[1]), (where, osc.port))
                assert decode(udp.recv(65536))[0].address == "/lead/bypass"
                udp.sendto(encode("/unsubscribe"), (where, osc.port))
                until(lambda: not osc.subscribers)
            with socket.create_connection((where, osc.port), 10) as tcp:
                tcp.sendall(sized(encode("/lead/mix")))
                assert b"/lead/mix" in tcp.recv(100)
    finally:
        osc.close()


def test_closing_waits_for_nobody(media: Path) -> None:
    """Half-open connections, half a packet, a peer that does not read: the threads that listen end all the same."""
    osc = OscServer(Tree({"lead": BoardHost("lead", board)}, Media([media])), port=0)
    crowd = [Tcp(osc) for _ in range(8)]
    crowd[0].socket.sendall(bytes(2))
    crowd[1].send("/subscribe")
    crowd[2].socket.sendall(sized(encode("/lead/mix")) * 5000)
    until(lambda: len(osc.connections) == 8)
    osc.close()
    until(lambda: not any(thread.is_alive() for thread in osc.threads))
    assert all(tcp.ended() for tcp in crowd)
    until(lambda: not osc.connections)


# -- peers -------------------------------------------------------------------------------------------------------


def needs(program: str) -> Any:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@needs("oscsend")
def test_liblo(osc: OscServer) -> None:
    dump = subprocess.Popen(["oscdump", "-L", str(osc.reply_port)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        where = f"osc.udp://127.0.0.1:{osc.port}"
        subprocess.run(["oscsend", where, "/lead/gain/gain_db", "f", "-7.5"], check=True)
        subprocess.run(["oscsend", where, "/lead/bypass", "T"], check=True)
        until(lambda: osc.tree.boards["lead"].value("bypass") == 1)
        subprocess.run(["oscsend", where, "/lead/1/gain_db"], check=True)
        assert dump.stdout is not None
        assert re.search(r"/lead/1/gain_db f -7\.5", dump.stdout.readline())
        subprocess.run(["oscsend", f"osc.tcp://127.0.0.1:{osc.port}", "/bass/mix", "f", "0.5"], check=True)
        until(lambda: osc.tree.boards["bass"].value("mix") == 0.5)
    finally:
        dump.kill()
        dump.wait()


PATCH = """#N canvas 0 0 450 300 12;
#X obj 10 10 loadbang;
#X msg 10 40 connect 127.0.0.1 {port};
#X obj 10 220 netsend -u -b;
#X obj 200 10 loadbang;
#X obj 200 40 delay 300;
#X obj 200 70 t b b;
#X msg 260 100 -11;
#X msg 200 100 bang;
#X obj 260 130 oscformat lead gain gain_db;
#X obj 200 160 oscformat lead gain gain_db;
#X obj 150 190 list prepend send;
#X obj 150 205 list trim;
#X obj 10 250 netreceive -u -b {reply};
#X obj 10 270 oscparse;
#X obj 10 290 list trim;
#X obj 10 310 print answer;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
#X connect 5 0 7 0;
#X connect 5 1 6 0;
#X connect 6 0 8 0;
#X connect 7 0 9 0;
#X connect 8 0 10 0;
#X connect 9 0 10 0;
#X connect 10 0 11 0;
#X connect 11 0 2 0;
#X connect 12 0 13 0;
#X connect 13 0 14 0;
#X connect 14 0 15 0;
"""


@needs("pd")
def test_pure_data(osc: OscServer, tmp_path: Path) -> None:
    patch = tmp_path / "knob.pd"
    patch.write_text(PATCH.format(port=osc.port, reply=osc.reply_port))
    command = ["pd", "-nogui", "-noaudio", "-nomidi", "-stderr", "-open", str(patch)]
    pd = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: osc.tree.boards["lead"].value("gain/gain_db") == -11.0, 15)
        assert pd.stderr is not None
        until(lambda: "lead gain gain_db -11" in pd.stderr.readline(), 15)  # type: ignore[union-attr]
    finally:
        pd.kill()
        pd.wait()


@needs("pd")
def test_the_demo_patch_opens() -> None:
    patch = Path(__file__).parents[2] / "demos/osc/knobs.pd"
    command = ["pd", "-nogui", "-noaudio", "-nomidi", "-stderr", "-open", str(patch), "-send", "pd quit"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "couldn't create" not in done.stderr
    assert "connection failed" not in done.stderr


@needs("sclang")
def test_supercollider(osc: OscServer, tmp_path: Path) -> None:
    script = tmp_path / "knob.scd"
    script.write_text(
        f"""n = NetAddr("127.0.0.1", {osc.port});
thisProcess.openUDPPort({osc.reply_port});
OSCdef(\\a, {{ |m| ("answer " ++ m).postln; }}, '/bass/2/room_size');
n.sendBundle(0.2, ['/bass/2/room_size', 0.75], ['/bass/gain/gain_db', -4]);
SystemClock.sched(0.8, {{ n.sendMsg('/bass/2/room_size'); nil }});
SystemClock.sched(2.0, {{ 0.exit; nil }});"""
    )
    environment = {**os.environ, "QTWEBENGINE_DISABLE_SANDBOX": "1", "QT_QPA_PLATFORM": "offscreen"}
    command = ["sclang", "-D", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert osc.tree.boards["bass"].value("gain/gain_db") == -4.0
    assert "answer [ /bass/2/room_size, 0.75" in done.stdout
