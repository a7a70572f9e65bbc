"""The streaming protocol: codec, worker and client over real sockets, and clients that misbehave."""

from __future__ import annotations

import contextlib
import copy
import errno
import functools
import gc
import itertools
import json
import os
import pickle
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pedalboard
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
import neural_fx
from bridge import limits, stream_server, stream_session, wire
from bridge.errors import BridgeError, ProtocolError
from bridge.host import BoardHost, BoardStream, Change, last_ones
from bridge.protocol import (
    HEADER,
    Event,
    Kind,
    pack,
    pack_audio,
    pack_json,
    unpack_audio,
    unpack_header,
    unpack_hello,
    unpack_json,
)
from bridge.sockets import listen
from bridge.stream_server import StreamServer, receive
from bridge.throttle import Throttle, Troubles
from bridge.welcome import fitted
from neural_fx.arrays import Audio
from neural_fx.boards import SLOTS
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Processor, Spec
from tests.conftest import noise, wavenet_document


@pytest.fixture
def model(write: Callable[..., Path]) -> Path:
    return write(wavenet_document())


@pytest.fixture
def worker(model: Path) -> Iterator[StreamServer]:
    boards = {
        "empty": BoardHost("empty", Pedalboard),
        "amp": BoardHost("amp", lambda: Pedalboard([neural_fx.load(model)])),
    }
    server = StreamServer(boards)
    yield server
    server.close()


def client(worker: StreamServer, board: str = "amp", **more: object) -> bridge.RemoteBoard:
    return bridge.connect(f"127.0.0.1:{worker.port}", board, **more)  # type: ignore[arg-type]


def settled(check: Callable[[], bool]) -> bool:
    """Return whether something becomes true; waits long enough for any machine."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.01)
    return False


EVENTS = st.builds(Event, st.integers(0, 40), st.text(max_size=12), st.floats(-1e6, 1e6), st.binary(max_size=8))


# -- codec -------------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 5),
    st.integers(0, 40),
    st.lists(
        st.builds(Event, st.integers(0, 40), st.text(max_size=12), st.floats(-1e6, 1e6), st.binary(max_size=8)),
        max_size=5,
    ),
)
def test_blocks_come_back(channels: int, frames: int, events: list[Event]) -> None:
    audio = noise(channels * frames).reshape(channels, frames)
    found, happened = unpack_audio(pack_audio(audio, events))
    np.testing.assert_array_equal(found, audio)
    assert [(min(e.offset, frames), e.address, e.value, e.midi) for e in events] == [
        (e.offset, e.address, e.value, e.midi) for e in happened
    ]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_junk_is_refused_not_crashed_on(data: bytes) -> None:
    for decode in (unpack_audio, unpack_hello, lambda d: unpack_header((d + bytes(16))[:16])):
        try:
            decode(data)  # type: ignore[operator]
        except ProtocolError as error:
            assert error.code


def test_headers_bound_the_payload() -> None:
    with pytest.raises(ProtocolError, match="too long"):
        unpack_header(HEADER.pack(Kind.BLOCK, 1 << 31, 0))
    with pytest.raises(ProtocolError, match="unknown kind"):
        unpack_header(HEADER.pack(99, 0, 0))
    with pytest.raises(ProtocolError, match="NaN"):
        unpack_audio(pack_audio(np.full((1, 4), np.nan, np.float32)))


# -- worker and client -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [48000, 44100])
@pytest.mark.parametrize("block", [64, 1000])
def test_a_remote_board_is_the_board(worker: StreamServer, model: Path, rate: int, block: int) -> None:
    x = noise(6000).reshape(2, -1)
    wanted = neural_fx.load(model)(x, rate)
    with_client = client(worker)
    np.testing.assert_allclose(with_client(x, rate, block), wanted, atol=1e-6)
    inside = neural_fx.Pedalboard([pedalboard.Gain(0), with_client])
    parts = [inside.process(part, rate, block, reset=False) for part in np.split(x, [5, 1500], axis=1)]
    np.testing.assert_allclose(np.concatenate([*parts, inside.flush()], 1), wanted, atol=1e-6)
    assert with_client.round_trip()["count"] > 3


def test_parameters_travel(worker: StreamServer) -> None:
    remote = client(worker)
    x = noise(4800)[None]
    plain = remote(x, 48000)
    name = next(n for n in remote.parameters if n.endswith("output_gain_db"))
    assert remote.parameters[name].unit == "dB"
    setattr(remote, name, -20.0)
    remote.reset()
    np.testing.assert_allclose(remote(x, 48000)[:, 2000:], 0.1 * plain[:, 2000:], atol=1e-5)
    assert worker.boards["amp"].value("model/output_gain_db") == 0, "a client's own stream, not everybody's"
    with pytest.raises(ValueError, match="range"):
        setattr(remote, name, 100.0)


def test_everybody_hears_the_host(worker: StreamServer) -> None:
    one, other = client(worker), client(worker)
    x = np.full((1, 480), 0.1, np.float32)
    before = [r.process(x, 48000, reset=False) for r in (one, other)]
    worker.boards["amp"].set("bypass", 1)
    for remote in (one, other):
        for _ in range(5):
            after = remote.process(x, 48000, reset=False)
        np.testing.assert_array_equal(after, x)
    assert not np.allclose(before[0], x)


def test_of_many_changes_at_a_frame_the_last_counts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fader's flood costs one change a block; another parameter, another frame and MIDI are not swallowed."""
    host = BoardHost("amp", lambda: Pedalboard([neural_fx.load(model)]))
    stream = host.open(Spec(48000, 1, 256))
    done: list[tuple[str, object]] = []
    do = stream._do
    monkeypatch.setattr(stream, "_do", lambda change: (done.append((change.address, change.value)), do(change)))
    for i in range(1000):
        host.set("mix", i / 999)
        host.set("model/input_gain_db", i / 100)
    events = [Event(0, "mix", 0.1), Event(7, "mix", 0.2), Event(7, "mix", 0.3)]
    stream.process(np.zeros((1, 256), np.float32), events)
    assert done == [("mix", 1.0), ("model/input_gain_db", 9.99), ("mix", 0.3)]
    assert stream.voice.board.values()["mix"] == 0.3
    assert stream.voice.board.values()["model/input_gain_db"] == 9.99
    notes = [mido.Message("note_on", note=60), mido.Message("note_on", note=60)]
    assert [c.value for c in last_ones([Change("", note) for note in notes])] == notes
    host.close(stream)


def test_events_happen_at_their_sample(worker: StreamServer) -> None:
    stream = worker.boards["empty"].open(neural_fx.processor.Spec(48000, 1, 512))
    host = BoardHost("gain", lambda: Pedalboard([pedalboard.Gain(0)]))
    stream = host.open(neural_fx.processor.Spec(48000, 1, 512))
    x = np.ones((1, 512), np.float32)
    y = stream.process(x, [Event(300, "gain/gain_db", -40.0)])
    assert np.abs(y[0, :300] - 1).max() < 1e-6
    assert y[0, 305] < 0.99
    assert stream.late <= 1


def test_changing_the_board_fades_without_a_gap(model: Path) -> None:
    """Two boards whose difference is known: between them, the output is always between theirs."""
    host = BoardHost("x", lambda: Pedalboard([pedalboard.Gain(0)]))
    stream = host.open(neural_fx.processor.Spec(48000, 1, 256))
    x = np.ones((1, 256), np.float32)
    for _ in range(4):
        stream.process(x)
    host.load(lambda: Pedalboard([pedalboard.Gain(-20)]))
    out = np.concatenate([stream.process(x) for _ in range(60)], 1)[0]
    assert out[0] == pytest.approx(1)
    assert out[-1] == pytest.approx(0.1, rel=1e-3)
    assert np.abs(np.diff(out)).max() < 0.9 / 900
    with pytest.raises(neural_fx.errors.NeuralFXError):
        host.load(lambda: Pedalboard([neural_fx.load("missing.nam")]))
    np.testing.assert_allclose(stream.process(x), 0.1 * x, rtol=1e-3)


class Breaks(Processor):
    """Fails at its third block."""

    def process_block(self, block: Audio) -> Audio:
        self._blocks = getattr(self, "_blocks", 0) + 1
        if self._blocks > 2:
            raise RuntimeError("boom")
        return 0.5 * block


def test_a_failing_board_passes_the_dry_signal_and_touches_no_other() -> None:
    told: list[tuple[str, str]] = []
    bad = BoardHost("bad", lambda: Pedalboard([Breaks()]), lambda name, why: told.append((name, why)))
    server = StreamServer({"bad": bad, "good": BoardHost("good", Pedalboard)})
    x = noise(256)[None]
    broken, fine = client(server, "bad"), client(server, "good")
    outputs = [broken.process(x, 48000, reset=False) for _ in range(5)]
    np.testing.assert_allclose(outputs[0], 0.5 * x)
    np.testing.assert_array_equal(outputs[-1], x)
    np.testing.assert_array_equal(fine.process(x, 48000, reset=False), x)
    assert told == [("bad", "the board failed and is bypassed: RuntimeError: boom")]
    bad.load(lambda: Pedalboard([pedalboard.Gain(-20)]))
    for _ in range(3):
        mended = broken.process(x, 48000, reset=False)
    np.testing.assert_allclose(mended, 0.1 * x, rtol=1e-3)
    server.close()


def test_refusals_say_why(worker: StreamServer) -> None:
    with pytest.raises(BridgeError, match=r"no board 'lead'; there is: empty, amp") as refused:
        client(worker, "lead")
    assert refused.value.code == "board"
    worker.token = "secret"
    with pytest.raises(BridgeError, match="token"):
        client(worker)
    assert client(worker, token="secret").latency_samples == 0
    with pytest.raises(BridgeError, match="no worker"):
        bridge.connect("127.0.0.1:1", timeout=0.2)
    with pytest.raises(BridgeError, match="HOST:PORT"):
        bridge.connect("127.0.0.1:x")


def test_a_client_survives_a_restart(model: Path) -> None:
    boards = {"empty": BoardHost("empty", Pedalboard)}
    first = StreamServer(boards)
    remote = client(first, "empty")
    x = noise(256)[None]
    np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
    first.close()

    def later() -> None:
        time.sleep(0.3)
        restarted.append(StreamServer(boards, port=first.port))

    restarted: list[StreamServer] = []
    thread = threading.Thread(target=later)
    thread.start()
    np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
    thread.join()
    assert remote.reconnects > 0
    restarted[0].close()
    remote.timeout = 0.3
    with pytest.raises(BridgeError, match="does not answer"):
        remote.process(x, 48000, reset=False)


# -- clients that misbehave --------------------------------------------------------------------------------------


def raw(worker: StreamServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", worker.port), 60)  # many at once wait for the backlog
    connection.settimeout(5)
    return connection


def hello(**changes: object) -> bytes:
    wish = {"version": 1, "board": "empty", "sample_rate": 48000, "channels": 1, "block": 256, "token": ""}
    return pack_json(Kind.HELLO, {**wish, **changes})


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (hello(version=9), "version"),
        (hello(channels=0), "format"),
        (hello(sample_rate=1e9), "format"),
        (hello(block="many"), "malformed"),
        (hello(board=None), "malformed"),
        (pack(Kind.PING), "malformed"),
        (pack(Kind.HELLO, b"[1]"), "malformed"),
        (pack(Kind.HELLO, b"\xff"), "malformed"),
        (struct.pack("<BxxxIQ", 1, 1 << 30, 0), "malformed"),
    ],
)
def test_bad_handshakes_get_a_code(worker: StreamServer, first: bytes, code: str) -> None:
    with raw(worker) as connection:
        connection.sendall(first)
        kind, _, payload = receive(connection)
        assert kind is Kind.REFUSE
        assert f'"code": "{code}"'.encode() in bytes(payload)
        assert connection.recv(1) == b""


def test_wrong_blocks_end_only_their_client(worker: StreamServer) -> None:
    good = client(worker, "empty")
    for bad in (
        pack(Kind.BLOCK, pack_audio(np.zeros((3, 10), np.float32))),
        pack(Kind.BLOCK, b"junk"),
        pack(Kind.AUDIO),
    ):
        with raw(worker) as connection:
            connection.sendall(hello())
            assert receive(connection)[0] is Kind.WELCOME
            connection.sendall(bad)
            assert receive(connection)[0] is Kind.REFUSE
    x = noise(100)[None]
    np.testing.assert_array_equal(good(x, 48000), x)
    with raw(worker) as connection:
        connection.sendall(hello())
        receive(connection)
        connection.sendall(pack(Kind.PING, b"{}", 7))
        assert receive(connection)[:2] == (Kind.PONG, 7)
        connection.sendall(pack(Kind.RESET, b"", 8))
        assert receive(connection)[:2] == (Kind.RESET, 8)


def test_ten_thousand_random_messages(worker: StreamServer) -> None:
    """The worker answers afterwards, and has not grown."""
    rng = random.Random(0)
    process = psutil.Process()
    before = 0
    for i in range(500):
        with raw(worker) as connection:
            try:
                if rng.random() < 0.5:
                    connection.sendall(hello())
                for _ in range(20):
                    kind = rng.choice([*Kind, 0, 77])
                    body = rng.randbytes(rng.randint(0, 60))
                    length = len(body) if rng.random() < 0.9 else rng.randint(0, 1 << 32 - 1)
                    connection.sendall(struct.pack("<BxxxIQ", kind, length & 0xFFFFFFFF, rng.getrandbits(64)) + body)
            except OSError:
                pass
        if i == 50:
            before = process.memory_info().rss
    assert settled(lambda: not worker.sessions)
    assert process.memory_info().rss - before < 30e6
    assert worker.failures == 0
    x = noise(100)[None]
    np.testing.assert_array_equal(client(worker, "empty")(x, 48000), x)


# -- welcomes of any size ------------------------------------------------------------------------------------------


def test_a_board_of_160_compressors_can_be_played() -> None:
    """Its WELCOME is longer than most messages may be."""
    host = BoardHost("many", lambda: Pedalboard([pedalboard.Compressor() for _ in range(160)]))
    server = StreamServer({"many": host})
    remote = client(server, "many", timeout=60.0)
    assert len(remote.parameters) == len(host.table()) > 800
    assert host.master.values() == {address: host.value(address) for address in host.table() if address != "bypass"}
    x = noise(256)[None]
    assert remote.process(x, 48000, reset=False).shape == x.shape
    remote.close()
    server.close()


def fields(parameters: int, boards: int = 1) -> dict[str, object]:
    about = {"value": 0.5, "min": 0.0, "max": 1.0, "description": "é" * 200}
    return {
        "boards": {f"board-{i}": False for i in range(boards)},
        "parameters": {f"slot-{i}/gain": about for i in range(parameters)},
        "macros": [],
        "text": "slots: []\n" * 100,
    }


@pytest.mark.parametrize(
    ("parameters", "boards", "most", "left_out"),
    [
        (3, 1, 100_000, set()),
        (50, 1, 10_000, {"descriptions"}),
        (50, 1, 3_500, {"descriptions", "text"}),
        (3, 1000, 4_000, {"descriptions", "text", "boards"}),
        (1000, 1000, 20_000, {"descriptions", "text", "boards", "parameters"}),
    ],
)
def test_a_welcome_leaves_out_what_does_not_fit(parameters: int, boards: int, most: int, left_out: set[str]) -> None:
    whole = fields(parameters, boards)
    payload = fitted(whole, most)
    assert len(payload) <= most
    found = unpack_json(payload)
    assert {name for name, count in found["left_out"].items() if count} == left_out
    for name in ("boards", "parameters"):
        assert len(found[name]) + found["left_out"].get(name, 0) == len(whole[name])  # type: ignore[arg-type]
        assert found[name]
    if not left_out:
        assert {**whole, "left_out": {}} == found


def test_refusals_of_any_length_arrive(worker: StreamServer) -> None:
    with raw(worker) as connection:
        connection.sendall(hello(board="x" * 60000))
        kind, _, payload = receive(connection)
        assert kind is Kind.REFUSE
        assert len(unpack_json(bytes(payload))["reason"]) <= 2000
    for i in range(2000):
        worker.boards[f"board-{i:0100}"] = worker.boards["empty"]
    with raw(worker) as connection:
        connection.sendall(hello(board="other"))
        assert receive(connection)[0] is Kind.REFUSE


# -- events that cannot happen ---------------------------------------------------------------------------------------


@pytest.fixture
def in_one_second(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that happens counts as happening in one second, on the slowest machine."""
    monkeypatch.setattr(stream_session, "Throttle", functools.partial(Throttle, clock=lambda: 0.0))
    worker.troubles = Troubles(worker._say, clock=lambda: 0.0)


@pytest.mark.usefixtures("in_one_second")
def test_events_that_cannot_happen_are_reported(worker: StreamServer) -> None:
    said: list[str] = []
    worker.log = said.append
    gain = next(address for address in worker.boards["amp"].table() if address.endswith("output_gain_db"))
    bad = [
        Event(0, "nothing/here", 1.0),
        Event(1, "nothing/here", 2.0),
        Event(0, gain, 1e6),
        Event(0, gain, float("nan")),
        Event(0, "bypass", 7.0),
        Event(0, midi=bytes([0x90, 60, 90])),
        Event(0, midi=b"junk"),
    ]
    x = noise(64)[None]
    with raw(worker) as connection:
        connection.sendall(hello(board="amp"))
        receive(connection)
        connection.sendall(pack(Kind.BLOCK, pack_audio(x, bad), 1))
        problems: dict[str, str] = {}
        while (found := receive(connection))[0] is Kind.NOTICE:
            notice = unpack_json(bytes(found[2]))
            assert notice["address"] not in problems, "one for each address and second"
            problems[notice["address"]] = notice["problem"]
        assert found[:2] == (Kind.AUDIO, 1)
    assert set(problems) == {"nothing/here", gain, "bypass", ""}
    assert "expected a finite number" in problems[gain]  # of two at one frame the last counts
    assert "without an instrument" in problems[""]
    assert sum("nothing" in line for line in said) == 1
    direct = BoardHost("amp", worker.boards["amp"].make).open(Spec(48000, 1, 256))
    np.testing.assert_array_equal(unpack_audio(found[2])[0], direct.process(x))


@pytest.mark.usefixtures("in_one_second")
def test_a_flood_of_bad_events_is_answered_with_few_notices(worker: StreamServer) -> None:
    x = noise(16)[None]
    with raw(worker) as connection:
        connection.sendall(hello(board="empty"))
        receive(connection)
        connection.sendall(pack(Kind.BLOCK, pack_audio(x, [Event(0, f"slot-{i}/x", 1.0) for i in range(4096)]), 1))
        notices = 0
        while receive(connection)[0] is Kind.NOTICE:
            notices += 1
        assert notices == 32


def test_a_remote_board_keeps_its_problems(worker: StreamServer) -> None:
    remote = client(worker, "empty")
    remote.send(mido.Message("note_on", note=60))
    remote.process(noise(64)[None], 48000, reset=False)
    assert list(remote.problems) == ["MIDI for a board without an instrument"]
    remote.close()


def test_throttle() -> None:
    now = [0.0]
    throttle = Throttle(1.0, most=2, clock=lambda: now[0])
    assert [throttle.passes(key) for key in "aabc"] == [True, False, True, False]
    now[0] = 0.9
    assert not throttle.passes("a")
    now[0] = 1.0
    assert [throttle.passes(key) for key in "acb"] == [True, True, False]


def test_a_throttle_counts_what_it_holds_back() -> None:
    now = [0.0]
    throttle = Throttle[str](1.0, most=3, clock=lambda: now[0])
    assert [throttle.take(key) for key in "aaabab"] == [1, 0, 0, 1, 0, 0]
    now[0] = 1.0
    assert throttle.take("a") == 4
    assert throttle.flush() == {"b": 1}
    assert [throttle.take(key) for key in "abcd"] == [1, 1, 1, 0]
    assert throttle.full_for("d")
    assert not throttle.full_for("a")


# -- one client costs no other ---------------------------------------------------------------------------------------


def test_no_error_of_accept_ends_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    numbers = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EPROTO]
    errors: list[Exception] = [OSError(number, os.strerror(number)) for number in numbers]
    errors += [RuntimeError("a bug"), MemoryError()]

    class Failing:
        def __init__(self, *where: object) -> None:
            self.listener = listen(*where)  # type: ignore[arg-type]

        def accept(self) -> object:
            if errors:
                raise errors.pop(0)
            return self.listener.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self.listener, name)

    monkeypatch.setattr(stream_server, "listen", Failing)
    with contextlib.closing(StreamServer({"empty": BoardHost("empty", Pedalboard)}, log=said.append)) as worker:
        x = noise(64)[None]
        np.testing.assert_array_equal(client(worker, "empty", timeout=60.0)(x, 48000), x)
    assert not errors
    assert sum("ulimit" in line for line in said) == 1


LIMITED = """
import resource, sys, time
from bridge.host import BoardHost
from bridge.stream_server import StreamServer
from neural_fx.pedalboard import Pedalboard
boards = {"empty": BoardHost("empty", Pedalboard)}
server = StreamServer(boards, log=print)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(server.port, flush=True)
sys.stdin.read()
server.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
def test_a_worker_without_files_left_goes_on() -> None:
    """Connections that say nothing take all its files; a client gets in while they are there, and afterwards."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LIMITED], text=True, **pipes) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        x = noise(64)[None]
        for _ in range(2):
            idle = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(60)]
            remote = bridge.connect(f"127.0.0.1:{port}", "empty", timeout=60.0)
            np.testing.assert_array_equal(remote(x, 48000), x)
            for connection in idle:
                connection.close()
        remote = bridge.connect(f"127.0.0.1:{port}", "empty", timeout=60.0)
        np.testing.assert_array_equal(remote(x, 48000), x)
        said, _ = process.communicate("")
        assert process.returncode == 0
    assert "ulimit" in said


def test_a_thread_that_cannot_start_costs_one_client(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    start, failed = threading.Thread.start, threading.Event()

    def start_or_fail(thread: threading.Thread) -> None:
        if thread.name.startswith("stream-") and not failed.is_set():
            failed.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    with pytest.raises(BridgeError, match="no room") as refused:
        client(worker, "empty", timeout=60.0)
    assert refused.value.code == "busy"
    assert client(worker, "empty", timeout=60.0).latency_samples == 0
    assert settled(lambda: not worker.connections and not worker.connections.running())


@pytest.mark.usefixtures("in_one_second")
@pytest.mark.parametrize("error", [TypeError("a bug"), ZeroDivisionError(), KeyError("x"), RecursionError()])
@pytest.mark.parametrize("place", ["open", "text", "process", "close"])
def test_our_own_errors_end_only_their_client(
    worker: StreamServer, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    said: list[str] = []
    worker.log = said.append
    host = worker.boards["amp"]

    def fail(*args: object) -> object:
        raise error

    good = client(worker, "empty")
    x = noise(64)[None]
    good.process(x, 48000, reset=False)
    if place == "process":
        monkeypatch.setattr(BoardStream, "process", fail)
    else:
        monkeypatch.setattr(host, place, fail)
    for _ in range(3):
        with raw(worker) as connection:
            connection.sendall(hello(board="amp") + pack(Kind.BLOCK, pack_audio(x), 1) + pack(Kind.BYE))
            found: list[Kind] = []
            with contextlib.suppress(EOFError):
                while True:
                    kind, _, payload = receive(connection)
                    found.append(kind)
            assert found[-1] is Kind.REFUSE
            assert unpack_json(bytes(payload))["code"] in ("internal", "format")
    monkeypatch.undo()
    np.testing.assert_array_equal(good.process(x, 48000, reset=False), x)
    good.close()
    assert settled(lambda: not worker.sessions and not worker.connections)
    reports = [line for line in said if "the worker failed" in line]
    assert len(reports) == (1 if worker.failures else 0), "once for each kind of error"
    assert worker.failures in (0, 3)
    if place != "close":
        assert not host.streams


def test_a_board_of_the_clients_own_goes_with_it(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it leaves: also after RESETs, and in the middle of a block."""
    made: list[weakref.ref[BoardHost]] = []

    class Watched(BoardHost):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(weakref.ref(self))

    monkeypatch.setattr(stream_server, "BoardHost", Watched)
    block = pack(Kind.BLOCK, pack_audio(noise(64)[None], [Event(0, "nothing", 1.0)]), 1)
    for last in (pack(Kind.BYE), b"", block[:50], pack(Kind.BLOCK, b"junk"), pack(Kind.RESET) * 3):
        with raw(worker) as connection:
            connection.sendall(hello(board="mine", text="slots:\n- plugin: Gain\n") + block)
            while receive(connection)[0] is not Kind.AUDIO:
                pass
            connection.sendall(last)
    assert settled(lambda: not worker.connections)
    gc.collect()
    assert len(made) == 5
    assert settled(lambda: all(host() is None for host in made))


def test_output_that_is_not_finite_is_a_failure_of_the_board() -> None:
    def broken(self: Processor, block: Audio) -> Audio:
        return np.full_like(block, np.nan)

    kind = type("Broken", (Processor,), {"process_block": broken})
    server = StreamServer({"bad": BoardHost("bad", lambda: Pedalboard([kind()]))})
    remote = client(server, "bad")
    x = noise(64)[None]
    np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
    assert "not finite" in remote.problems[0]
    remote.close()
    server.close()


def test_a_log_that_fails_ends_nothing(worker: StreamServer) -> None:
    def broken(sentence: str) -> None:
        raise BrokenPipeError

    worker.log = broken
    x = noise(64)[None]
    np.testing.assert_array_equal(client(worker, "empty")(x, 48000), x)


def test_text_of_clients_cannot_write_to_the_terminal(worker: StreamServer) -> None:
    said: list[str] = []
    worker.log = said.append
    text = "slots:\n- plugin: Gain\n"
    with raw(worker) as connection:
        connection.sendall(hello(board="\x1b[2J\nfake: line\u202e", text=text))
        assert receive(connection)[0] is Kind.WELCOME
        connection.sendall(pack(Kind.BLOCK, pack_audio(noise(8)[None], [Event(0, "\x1b[31m/\n", 1.0)]), 1))
        while receive(connection)[0] is not Kind.AUDIO:
            pass
    assert settled(lambda: any("left" in line for line in said))
    assert all(line.isprintable() for line in said)


@pytest.mark.parametrize("field", ["board", "token", "text"])
def test_text_that_is_no_unicode_is_refused(worker: StreamServer, field: str) -> None:
    with raw(worker) as connection:
        connection.sendall(hello(**{field: "\ud800"}))
        kind, _, payload = receive(connection)
        assert kind is Kind.REFUSE
        assert unpack_json(bytes(payload))["code"] == "malformed"
    assert worker.failures == 0


def test_closing_says_goodbye_and_ends_all_threads(model: Path) -> None:
    server = StreamServer({"empty": BoardHost("empty", Pedalboard)})
    playing, silent, half = (raw(server) for _ in range(3))
    playing.sendall(hello())
    assert receive(playing)[0] is Kind.WELCOME
    half.sendall(hello()[:9])
    assert settled(lambda: len(server.connections) == 3)
    server.close()
    assert receive(playing)[0] is Kind.BYE
    assert settled(lambda: not server.connections and not server.connections.running() and not server.sessions)
    for connection in (playing, silent, half):
        connection.close()


# -- deadlines are for whole messages --------------------------------------------------------------------------------


def hung_up_on(connection: socket.socket, drip: bytes) -> bool:
    """Return whether a connection ends while bytes of a message arrive at it one by one, well within a read's time."""
    connection.settimeout(0.02)
    for i in range(3000):
        try:
            connection.sendall(drip[i : i + 1])
            if not connection.recv(1000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_handshake_has_one_deadline(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_HANDSHAKE_SECONDS", 0.3)
    with raw(worker) as connection:
        assert hung_up_on(connection, hello(text="x" * 5000))
    assert settled(lambda: not worker.connections)


@pytest.mark.parametrize("message", [pack(Kind.BLOCK, bytes(5000)), pack(Kind.PING, bytes(5000)), bytes([4]) * 16])
def test_every_message_has_one_deadline(worker: StreamServer, monkeypatch: pytest.MonkeyPatch, message: bytes) -> None:
    monkeypatch.setattr(limits, "STREAM_MESSAGE_SECONDS", 0.3)
    with raw(worker) as connection:
        connection.sendall(hello())
        receive(connection)
        assert hung_up_on(connection, message[:15] if len(message) == 16 else message)
    assert settled(lambda: not worker.sessions)


def test_a_client_that_says_nothing_is_hung_up_on(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_IDLE_SECONDS", 0.3)
    with raw(worker) as connection:
        connection.settimeout(60)
        connection.sendall(hello())
        receive(connection)
        assert connection.recv(1) == b""
    assert settled(lambda: not worker.sessions)


def test_messages_may_arrive_in_any_pieces(worker: StreamServer) -> None:
    parts = [noise(count)[None] for count in (1, 256, 0, 100)]
    blocks = [pack(Kind.BLOCK, pack_audio(part), i) for i, part in enumerate(parts)]
    stream = hello() + blocks[0] + pack(Kind.PING, b"x" * 100, 9) + b"".join(blocks[1:])
    with raw(worker) as connection:
        connection.settimeout(60)
        for at in range(0, len(stream), 37):
            connection.sendall(stream[at : at + 37])
        found = [receive(connection) for _ in range(6)]
    assert [(kind, number) for kind, number, _ in found[1:]] == [
        (Kind.AUDIO, 0),
        (Kind.PONG, 9),
        (Kind.AUDIO, 1),
        (Kind.AUDIO, 2),
        (Kind.AUDIO, 3),
    ]
    heard = [unpack_audio(payload)[0] for kind, _, payload in found if kind is Kind.AUDIO]
    np.testing.assert_array_equal(np.concatenate(heard, 1), np.concatenate(parts, 1))


def keep_sending(connection: socket.socket, message: bytes) -> None:
    for _ in range(10_000):
        connection.sendall(message)


def test_a_client_that_does_not_read_is_hung_up_on(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_SEND_SECONDS", 0.3)
    with raw(worker) as connection:
        connection.sendall(hello(block=65536))
        receive(connection)
        block = pack(Kind.BLOCK, pack_audio(np.zeros((1, 65536), np.float32)))
        connection.settimeout(60)
        with pytest.raises(OSError, match=r"reset|pipe"):
            keep_sending(connection, block)
    assert settled(lambda: not worker.sessions)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HELLO])
def test_before_the_handshake_only_a_handshake_is_read(worker: StreamServer, kind: Kind) -> None:
    """A header alone is refused: no payload is waited for, and none is made room for."""
    with raw(worker) as connection:
        connection.settimeout(60)
        connection.sendall(HEADER.pack(kind, 0xFFFF, 0))
        found, _, payload = receive(connection)
        assert found is Kind.REFUSE
        assert f"expected HELLO first, found {kind.name}" in unpack_json(bytes(payload))["reason"]


def test_memory_grows_with_what_arrives() -> None:
    """Not with what a header announces."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(HEADER.pack(Kind.BLOCK, limits.PROTOCOL_MESSAGE_BYTES, 0) + bytes(1000))
        there.shutdown(socket.SHUT_WR)
        tracemalloc.start()
        with pytest.raises(EOFError):
            receive(here)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * limits.STREAM_READ_BYTES


def test_connections_without_a_hello_keep_nobody_out(worker: StreamServer) -> None:
    x = noise(64)[None]
    playing = client(worker, "empty", timeout=60.0)
    playing.process(x, 48000, reset=False)
    silent = [raw(worker) for _ in range(limits.STREAM_GREETINGS + 40)]
    assert settled(lambda: len(worker.connections._greeting) <= limits.STREAM_GREETINGS)
    np.testing.assert_array_equal(client(worker, "empty", timeout=60.0)(x, 48000), x)
    np.testing.assert_array_equal(playing.process(x, 48000, reset=False), x)
    silent[0].settimeout(60)
    kind, _, payload = receive(silent[0])  # the oldest had to go, and was told why
    assert (kind, unpack_json(bytes(payload))["code"]) == (Kind.REFUSE, "busy")
    for connection in silent:
        connection.close()
    playing.close()
    assert settled(lambda: not worker.connections)


def test_the_oldest_of_the_greediest_has_to_go(worker: StreamServer) -> None:
    """A host that opens many connections pushes out its own."""
    one = socket.socket()
    worker.connections._greeting = {one: "10.0.0.1"}
    many = [socket.socket() for _ in range(limits.STREAM_GREETINGS)]
    worker.connections._greeting |= dict.fromkeys(many, "10.0.0.2")
    assert worker.connections._crowding(limits.STREAM_GREETINGS) is many[0]
    assert one in worker.connections._greeting
    worker.connections._greeting.clear()
    for connection in (one, *many):
        connection.close()


def test_places_for_clients_are_limited(worker: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_CLIENTS", 2)
    clients = [client(worker, "empty", timeout=60.0) for _ in range(2)]
    assert settled(lambda: not worker.connections), "the first handshake of each has ended"
    for remote in clients:
        remote.process(noise(64)[None], 48000, reset=False)
    with pytest.raises(BridgeError, match="2 clients are connected already") as refused:
        client(worker, "empty", timeout=60.0)
    assert refused.value.code == "busy"
    for remote in clients:
        remote.close()
    assert settled(lambda: not worker.connections)
    assert client(worker, "empty", timeout=60.0).latency_samples == 0


# -- work stops when its client leaves -------------------------------------------------------------------------------


class Waits(Processor):
    """Counts its blocks, and waits in the third for what the test does."""

    reached, go = threading.Event(), threading.Event()
    blocks = 0

    def process_block(self, block: Audio) -> Audio:
        Waits.blocks += 1
        if Waits.blocks == 3:
            Waits.reached.set()
            Waits.go.wait(60)
            time.sleep(2 * limits.STREAM_PRESENCE_SECONDS)
        return block


@pytest.fixture
def waiting() -> Iterator[StreamServer]:
    Waits.reached.clear()
    Waits.go.clear()
    Waits.blocks = 0
    server = StreamServer({"slow": BoardHost("slow", lambda: Pedalboard([Waits() for _ in range(40)]))})
    yield server
    Waits.go.set()
    server.close()


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
def test_a_long_block_stops_when_its_client_leaves(waiting: StreamServer, leave: str) -> None:
    connection = raw(waiting)
    connection.sendall(hello(board="slow", block=65536))
    receive(connection)
    block = pack(Kind.BLOCK, pack_audio(np.zeros((1, 65536), np.float32)))
    connection.sendall(block + block[:100])  # what is not read yet must not hide that it left
    assert Waits.reached.wait(60)
    if leave == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if leave == "half":
        connection.shutdown(socket.SHUT_WR)
    else:
        connection.close()
    Waits.go.set()
    assert settled(lambda: not waiting.sessions and not waiting.connections)
    assert Waits.blocks == 3
    assert not waiting.boards["slow"].streams
    connection.close()


def test_a_long_block_stops_when_the_worker_closes(waiting: StreamServer) -> None:
    with raw(waiting) as connection:
        connection.sendall(hello(board="slow", block=65536))
        receive(connection)
        connection.sendall(pack(Kind.BLOCK, pack_audio(np.zeros((1, 65536), np.float32))))
        assert Waits.reached.wait(60)
        closing = threading.Thread(target=waiting.close)
        closing.start()
        assert waiting.closing.wait(60)
        time.sleep(0.2)
        Waits.go.set()
        closing.join(60)
        assert receive(connection)[0] is Kind.BYE
    assert Waits.blocks == 3


def test_a_board_stops_being_built_when_its_client_leaves(worker: StreamServer, request: pytest.FixtureRequest) -> None:
    built: list[object] = []
    reached, go = threading.Event(), threading.Event()
    kind = SLOTS["plugin"]

    def slowly(slot: Any, folder: Path) -> Any:
        built.append(slot)
        if len(built) == 3:
            reached.set()
            go.wait(60)
            time.sleep(2 * limits.STREAM_PRESENCE_SECONDS)
        return kind.fill(slot, folder)

    SLOTS.replace(replace(kind, fill=slowly))
    request.addfinalizer(lambda: SLOTS.replace(kind))
    connection = raw(worker)
    connection.sendall(hello(board="mine", text="slots:\n" + "- plugin: Gain\n" * 40))
    assert reached.wait(60)
    connection.close()
    go.set()
    assert settled(lambda: not worker.connections)
    assert len(built) == 3


@pytest.mark.parametrize("system", ["linux", "other"])
def test_presence(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if system == "other":
        monkeypatch.delattr(select, "POLLRDHUP", raising=False)
    monkeypatch.setattr(limits, "STREAM_PRESENCE_SECONDS", 0.0)
    here, there = socket.socketpair()
    with here, there:
        presence = wire.Presence(here)
        assert not presence.left()
        there.sendall(b"x")
        assert not presence.left()
        assert here.recv(1) == b"x", "looking takes nothing away"
        there.shutdown(socket.SHUT_WR)
        assert presence.left()


def test_long_blocks_are_computed_in_pieces_that_add_up(worker: StreamServer, model: Path) -> None:
    x = noise(40000)[None]
    with raw(worker) as connection:
        connection.sendall(hello(board="amp", block=65536))
        receive(connection)
        connection.settimeout(60)
        connection.sendall(pack(Kind.BLOCK, pack_audio(x), 1))
        found = unpack_audio(receive(connection)[2])[0]
    np.testing.assert_allclose(found, neural_fx.load(model)(x, 48000), atol=1e-6)


# -- whether it is connected ------------------------------------------------------------------------------------------


def test_connected_is_the_truth(worker: StreamServer) -> None:
    remote = client(worker, "empty")
    x = noise(64)[None]
    assert not remote.connected, "no stream yet"
    remote.process(x, 48000, reset=False)
    assert remote.connected
    remote.close()
    assert not remote.connected
    remote(x, 48000)
    assert not remote.connected, "a whole signal leaves no stream behind"
    remote.process(x, 48000, reset=False)
    worker.close()
    assert settled(lambda: not remote.connected)
    remote.timeout = 0.2
    with pytest.raises(BridgeError):
        remote.process(x, 48000, reset=False)
    assert not remote.connected


def test_a_worker_that_is_killed_is_not_connected(tmp_path: Path) -> None:
    """And neither is one that is stopped, whose connections stay open."""
    program = (
        "import time; from bridge.host import BoardHost; from bridge.stream_server import StreamServer; "
        "from neural_fx.pedalboard import Pedalboard; "
        "server = StreamServer({'empty': BoardHost('empty', Pedalboard)}); "
        "print(server.port, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        remote = bridge.connect(f"127.0.0.1:{port}", "empty", timeout=30.0)
        x = noise(64)[None]
        try:
            remote.process(x, 48000, reset=False)
            remote._connection.heard -= limits.CLIENT_ALIVE_SECONDS
            assert remote.connected, "it was asked, and answers"
            process.send_signal(signal.SIGSTOP)
            assert settled(lambda: not remote.connected)
            process.send_signal(signal.SIGCONT)
            np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
            assert remote.connected
        finally:
            process.kill()
        process.wait()
        assert settled(lambda: not remote.connected)


# -- servers that misbehave -------------------------------------------------------------------------------------------


@contextmanager
def server_that(answers: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does something to each connection; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            opened.append(connection)
            with contextlib.suppress(OSError, EOFError):
                answers(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection in opened:
        connection.close()
    thread.join(60)


def sends(message: bytes, close: bool = False) -> Callable[[socket.socket], None]:
    def answers(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(message)
        if close:
            connection.close()

    return answers


def greeted(parameters: object = None, **more: object) -> bytes:
    return pack_json(Kind.WELCOME, {"version": 1, "board": "x", "latency": 0, "parameters": parameters or {}, **more})


def welcome_text(text: str) -> bytes:
    return pack(Kind.WELCOME, text.encode())


def for_ever(connection: socket.socket) -> None:
    receive(connection)
    connection.sendall(HEADER.pack(Kind.WELCOME, limits.PROTOCOL_MESSAGE_BYTES, 0))
    while True:
        connection.sendall(b" ")
        time.sleep(0.01)


def pings_for_ever(connection: socket.socket) -> None:
    receive(connection)
    connection.sendall(greeted())
    while True:
        connection.sendall(pack(Kind.PING) + pack_json(Kind.NOTICE, {"problem": "x" * 1000, "address": ""}))


RANDOM = random.Random(1)
HOSTILE: dict[str, Callable[[socket.socket], None]] = {
    "nothing": lambda connection: None,
    "closes": lambda connection: connection.close(),
    "junk": lambda connection: connection.sendall(RANDOM.randbytes(5000)),
    "http": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20),
    "endless": for_ever,
    "too long": sends(HEADER.pack(Kind.WELCOME, limits.PROTOCOL_MESSAGE_BYTES + 1, 0)),
    "cut short": sends(greeted()[:-1], close=True),
    **{f"answers {kind.name}": sends(pack(kind, b"{}")) for kind in Kind if kind is not Kind.WELCOME},
    "refuses with junk": sends(pack_json(Kind.REFUSE, {"code": ["x"], "reason": {"a": 1}})),
    "not JSON": sends(welcome_text("{")),
    "deep": sends(welcome_text("[" * 100_000)),
    "not an object": sends(welcome_text("[1, 2]")),
    "no latency": sends(welcome_text("{}")),
    "another version": sends(greeted(version=99)),
    **{
        f"latency {latency}": sends(welcome_text(f'{{"latency": {latency}, "parameters": {{}}}}'))
        for latency in (
            "1e18",
            "NaN",
            "-1",
            "1e999",
            "null",
            "true",
            '"9"',
            "9" * 5000,
            str(limits.PROTOCOL_LATENCY_SAMPLES + 1),
            "[]",
        )
    },
    **{
        f"parameters {parameters[:60]}": sends(welcome_text(f'{{"latency": 0, "parameters": {parameters}}}'))
        for parameters in (
            "3",
            '{"a": 3}',
            '{"a": {"value": 1, "min": 2, "max": 1}}',
            '{"a": {"value": 1e999}}',
            '{"a": {"value": 1, "min": "low"}}',
            '{"a": {"value": 1, "max": NaN}}',
            '{"a": {"value": 1, "default": []}}',
            f'{{"{"a" * 70_000}": {{"value": 1}}}}',
            '{"\\ud800": {"value": 1}}',
            '{"a": {"value": ' + "9" * 400 + "}}",
        )
    },
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_servers_are_bridge_errors(name: str) -> None:
    with server_that(HOSTILE[name]) as address, pytest.raises(BridgeError) as refused:
        bridge.connect(address, timeout=0.5)
    assert len(str(refused.value)) < 5000
    assert str(refused.value).isprintable()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "dB", "\ud800", "\x1b[2J", "9" * 50, 10**400, -(10**400), [], {}]),
)
PLACES = st.sampled_from(["a/b", "a_b", "x-y/z", "é", "close", "", "_socket", "board", "\ud800", "macro/1"])
ABOUT = st.dictionaries(st.sampled_from(["value", "min", "max", "default", "unit", "description"]), ODD)


class Unconnected(bridge.RemoteBoard):
    def _greet(self, spec: Spec, deadline: float) -> None:
        pass


@settings(max_examples=300)
@given(st.one_of(st.just(0), ODD), st.one_of(ODD, st.dictionaries(PLACES, st.one_of(ABOUT, ODD))))
def test_any_welcome_is_learnt_or_refused(latency: object, parameters: object) -> None:
    remote = Unconnected("localhost", "x")
    found = unpack_json(json.dumps({"latency": latency, "parameters": parameters}).encode())
    try:
        remote._learn(found)
    except BridgeError as error:
        assert str(error).isprintable()
    else:
        assert all(isinstance(getattr(remote, name), float) for name in remote.parameters)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["version", "board", "sample_rate", "channels", "block", "token", "text"]), ODD))
def test_any_hello_is_read_or_refused(changes: dict[str, object]) -> None:
    try:
        unpack_hello(hello(**changes)[HEADER.size :]).token.encode()
    except ProtocolError as error:
        assert error.code
        assert str(error).isprintable()


def answers_blocks_with(message: Callable[[np.ndarray], bytes]) -> Callable[[socket.socket], None]:
    def answers(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(greeted())
        while True:
            kind, sequence, payload = receive(connection)
            if kind is Kind.BLOCK:
                connection.sendall(HEADER.pack(Kind.AUDIO, len(found := message(unpack_audio(payload)[0])), sequence))
                connection.sendall(found)
            elif kind is Kind.BYE:
                return

    return answers


@pytest.mark.parametrize(
    "answers",
    [
        pings_for_ever,
        sends(greeted()),
        sends(greeted(), close=True),
        answers_blocks_with(lambda audio: pack_audio(audio[:, :-1])),
        answers_blocks_with(lambda audio: pack_audio(np.zeros((audio.shape[0] + 1, audio.shape[1]), np.float32))),
        answers_blocks_with(lambda audio: pack_audio(audio * np.float32("nan"))),
        answers_blocks_with(lambda audio: b"junk"),
        answers_blocks_with(lambda audio: b""),
        sends(greeted() + pack(Kind.AUDIO, b"", 1)),
        sends(greeted() + pack(Kind.NOTICE, b"junk")),
        sends(greeted() + pack_json(Kind.NOTICE, {"latency": -5})),
        sends(greeted() + pack_json(Kind.REFUSE, {"code": "board", "reason": "\x1b[2J"})),
        sends(greeted() + b"\xff" * 100),
    ],
    ids=range(13),
)
def test_hostile_answers_to_blocks_are_bridge_errors(answers: Callable[[socket.socket], None]) -> None:
    with server_that(answers) as address:
        remote = bridge.connect(address, timeout=0.5)
        with pytest.raises(BridgeError) as refused:
            remote.process(noise(64)[None], 48000, reset=False)
        assert str(refused.value).isprintable()
        assert not remote.connected
        assert len(remote.problems) <= limits.CLIENT_PROBLEMS


def test_parameters_with_the_same_name_are_kept_apart() -> None:
    """Also from the names of the client itself, and quickly if there are very many."""
    same = ["a/b_c", "a_b/c", "a-b/c", "close", "_socket", "process", "board"]
    same += ["".join(letters) for letters in itertools.product("/-_", repeat=9)]
    table = {place: {"value": i, "min": 0, "max": 1e6} for i, place in enumerate(same)}
    with server_that(sends(greeted(table))) as address:
        remote = bridge.connect(address, timeout=60.0)
        assert len(remote.parameters) == len(same)
        assert [remote.a_b_c, remote.a_b_c_2, remote.a_b_c_3] == [0, 1, 2]
        assert remote.close_ == 3
        assert callable(remote.close)
        remote.a_b_c_2 = 7
        assert [event.address for event in remote._events] == ["a_b/c"]


@pytest.mark.parametrize("address", ["[", "x:0", "x:65536", "x:99999999", "x:-1", "x:", "a:b:", ":x", "x:²"])
def test_wrong_addresses_say_what_is_expected(address: str) -> None:
    with pytest.raises(BridgeError, match=r"HOST:PORT|no worker at"):
        bridge.connect(address, timeout=0.5)


def test_the_client_imports_no_server() -> None:
    program = "import bridge, sys; bridge.connect; print(*(name for name in sys.modules if name.startswith('bridge')))"
    found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    shared = {"bridge", "bridge.client", "bridge.errors", "bridge.limits", "bridge.protocol", "bridge.wire"}
    assert shared <= set(found.split())
    assert {name for name in found.split() if not name.startswith("bridge.client.")} == shared


@pytest.mark.parametrize("host", ["a" * 70, "\0", ".", "é" * 300, "a..b"])
def test_hosts_that_cannot_be_looked_up(host: str) -> None:
    with pytest.raises(BridgeError, match="no worker at"):
        bridge.connect(f"{host}:9010", timeout=0.5)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda remote: pickle.loads(pickle.dumps(remote))])
def test_a_copy_has_a_connection_of_its_own(worker: StreamServer, copied: Callable[[Any], Any]) -> None:
    remote = client(worker, "empty")
    x = noise(64)[None]
    remote.process(x, 48000, reset=False)
    other = copied(remote)
    assert not other.connected
    np.testing.assert_array_equal(other.process(x, 48000, reset=False), x)
    remote.close()
    assert other.connected
    other.close()


def test_what_cannot_be_sent_is_refused_at_once(worker: StreamServer) -> None:
    remote = client(worker, "empty")
    for message, offset in ((bytes(70_000), 0), (b"\x90\x3c\x5a", -1), (b"\x90\x3c\x5a", 1 << 32)):
        with pytest.raises(BridgeError, match="cannot be sent"):
            remote.send(message, offset)
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(BridgeError, match="timeout"):
            client(worker, "empty", timeout=timeout)


def test_more_events_than_a_block_takes_follow_in_the_next() -> None:
    events: list[list[Event]] = []

    def answers(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(greeted())
        while True:
            kind, sequence, payload = receive(connection)
            if kind is not Kind.BLOCK:
                return
            audio, found = unpack_audio(payload)
            events.append(found)
            connection.sendall(pack(Kind.AUDIO, pack_audio(audio), sequence))

    messages = [bytes([0x90, i % 128, 1 + i // 128]) for i in range(9000)]
    with server_that(answers) as address:
        remote = bridge.connect(address, timeout=60.0)
        for message in messages:
            remote.send(message)
        for _ in range(5):
            remote.process(noise(64)[None], 48000, reset=False)
        remote.close()
    assert [event.midi for block in events for event in block] == messages
    assert max(map(len, events)) <= 4096


def test_parameters_are_set_again_for_the_first_block_after_a_restart(model: Path) -> None:
    boards = {"gain": BoardHost("gain", lambda: Pedalboard([pedalboard.Gain(0)]))}
    first = StreamServer(boards)
    remote = client(first, "gain", timeout=60.0)
    remote.gain_gain_db = -20.0
    x = np.full((1, 4800), 0.5, np.float32)
    remote.process(x, 48000, reset=False)
    first.close()
    again = StreamServer(boards, port=first.port)
    assert remote.process(x, 48000, reset=False)[0, -1] == pytest.approx(0.05, rel=1e-3)
    assert remote.gain_gain_db == -20.0
    remote.close()
    again.close()


@pytest.mark.slow
def test_killed_clients_leave_nothing(worker: StreamServer) -> None:
    """500 clients cut in the middle of a block: no thread, no socket, no stream is left."""
    block = pack(Kind.BLOCK, pack_audio(np.zeros((1, 256), np.float32)))
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for i in range(500):
        connection = raw(worker)
        connection.sendall(hello(board="amp" if i % 2 else "empty"))
        receive(connection)
        connection.sendall(block + block[: 1 + i % (len(block) - 1)])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert settled(lambda: not worker.sessions and not worker.connections)
    assert settled(lambda: threading.active_count() <= threads)
    assert len(os.listdir("/proc/self/fd")) <= files
    assert all(not host.streams for host in worker.boards.values())
