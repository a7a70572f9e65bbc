"""The streaming protocol: codec, worker and client over real sockets, and clients that misbehave."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import pedalboard
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
import neural_fx
from bridge.errors import BridgeError, ProtocolError
from bridge.host import BoardHost, Change, last_ones
from bridge.protocol import HEADER, Event, Kind, pack, pack_audio, pack_json, unpack_audio, unpack_header, unpack_hello
from bridge.stream_server import StreamServer, receive
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Audio, Processor, Spec
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
    """Whether something becomes true within a few seconds."""
    end = time.monotonic() + 5
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
    monkeypatch.setattr(stream.voice.board, "apply", lambda address, value: done.append((address, value)))
    for i in range(1000):
        host.set("mix", i / 999)
        host.set("model/input_gain_db", i / 100)
    events = [Event(0, "mix", 0.1), Event(7, "mix", 0.2), Event(7, "mix", 0.3)]
    stream.process(np.zeros((1, 256), np.float32), events)
    assert done == [("mix", 1.0), ("model/input_gain_db", 9.99), ("mix", 0.3)]
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
    return socket.create_connection(("127.0.0.1", worker.port), 5)


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
    x = noise(100)[None]
    np.testing.assert_array_equal(client(worker, "empty")(x, 48000), x)


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
