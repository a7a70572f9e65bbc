"""OSC: patterns, packets, the tree, UDP and TCP, subscriptions, media, and real peers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
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

from bridge.errors import BridgeError, ProtocolError
from bridge.host import BoardHost
from bridge.media import Media
from bridge.osc.packets import Framing, decode, encode, sized, slip
from bridge.osc.patterns import matches
from bridge.osc.server import OscServer
from bridge.osc.tree import Tree
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
    when = stream._clock + 0.0555
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
