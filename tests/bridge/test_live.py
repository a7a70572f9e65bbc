"""Live audio when something stops or dies: the worker, the I/O process, the JACK server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pedalboard import Gain
from rich.console import Console

import neural_fx
from bridge import limits
from bridge.cli.serve import _table
from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.live import board as live_board
from bridge.live import portaudio_process
from bridge.live.board import LiveBoard
from bridge.live.exchange import CONNECTION, MIDI, Exchange
from bridge.live.ring import Counters, Ring, SharedFile, remove_leftovers, ring_size
from bridge.worker import Options, Worker
from neural_fx.native_loop import available
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from tests.bridge.jack_servers import jack_server
from tests.bridge.live_rig import ring_file
from tests.conftest import linear_document, noise

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
FRAMES = 64
LIMIT = 120
"""Seconds until a test that waits in vain fails; long, because machines may be slow."""


def wait_until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or a zombie that nobody waits for."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def shared_with_names(process: int) -> list[str]:
    """The paths of the rings that a process maps and that have a name in the file system."""
    maps = [entry.path for entry in psutil.Process(process).memory_maps(grouped=False)]
    rings = [path for path in maps if "neural-fx-ring" in path]
    assert len(rings) == 3
    return [path for path in rings if Path(path).exists()]


# -- without an audio system ---------------------------------------------------------------------------------------

PERIODS = 20000

EXCHANGE = """
import json, os, sys
import numpy as np
from bridge.live.exchange import Exchange, prepare

settings, output = prepare()
print("what a library prints")
exchange = Exchange("test", 48000, 1, 64, settings["files"], output)
exchange.start()
for i in range(settings["periods"]):
    exchange.midi(3, b"\\x90\\x3c\\x40")
    exchange.midi(4, b"\\xb0\\x07" + bytes([i % 128]))
    exchange.period(np.full((1, 64), i, np.float32))
os.write(2, b"played\\n")
exchange.serve()
"""


class Worked:
    """The worker's side of an exchange, by hand."""

    def __init__(self, periods: int) -> None:
        self.files = [SharedFile() for _ in range(3)]
        for file, size in zip(self.files, (ring_size(1, 64), ring_size(1, 64), Counters.SIZE), strict=True):
            file.allocate(size)
        names = [file.name for file in self.files]
        settings = {"files": names, "periods": periods, "parent": os.getpid()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", EXCHANGE, json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=ENVIRONMENT,
            pass_fds=[name for name in names if isinstance(name, int)],
        )  # fmt: skip
        self.incoming, self.outgoing = (Ring(file.name, 1, 64) for file in self.files[:2])
        self.counters = Counters(self.files[2].name)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["frames"] == 64

    def begin(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b'{"connections": []}\n')
        assert self.process.stdout.readline() == b"\n"
        self.process.stdin.write(b"play\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        for file in self.files:
            file.close()


@pytest.fixture
def unread() -> Iterator[Worked]:
    """A process that exchanged periods with notes and controllers while nobody read its output."""
    worked = Worked(PERIODS)
    worked.begin()
    assert worked.process.stderr is not None
    assert b"played\n" in iter(worked.process.stderr.readline, b"")
    yield worked
    worked.close()


def test_the_callback_never_waits_for_the_worker(unread: Worked) -> None:
    """Far more is sent than a pipe holds. What did not arrive is counted, message for message."""
    assert unread.process.stdout is not None
    counts = unread.counters.read()
    assert counts["periods"] == PERIODS
    assert counts["dropouts"] == PERIODS  # the worker gave nothing back
    # With the block of silence, as many as the ring back can hold.
    assert len(unread.incoming) == limits.LIVE_RING_BLOCKS - 1
    data = os.read(unread.process.stdout.fileno(), 1 << 20)
    board, messages = heard()
    assert board._messages(data) == b""
    assert 0 < counts["midi_lost"] == 2 * PERIODS - len(messages)
    assert len([message for _, message in messages if message[0] == 0x90]) == limits.LIVE_RING_BLOCKS - 1


def test_notes_are_released_when_messages_were_lost() -> None:
    """A key that is released while the pipe is full must not sound on. What is played meanwhile is lost."""
    read, exchange = without_process()
    while not exchange._release_due:
        exchange.midi(0, b"\xb0\x07\x01")
    exchange.midi(0, b"\x80\x3c\x00")
    exchange.midi(0, b"\x90\x3d\x40")
    assert exchange.counters.read()["midi_lost"] == 3
    board, messages = heard()
    board._messages(os.read(read, 1 << 20))
    assert {message for _, message in messages} == {b"\xb0\x07\x01"}
    messages.clear()
    exchange.midi(5, b"\x90\x3e\x40")  # the worker has not released anything yet
    exchange.period(np.zeros((1, FRAMES), np.float32))
    exchange.midi(6, b"\x90\x3f\x40")
    board._messages(os.read(read, 1 << 20))
    assert messages == [(0, b""), (6, b"\x90\x3f\x40")]
    assert exchange.counters.read()["midi_lost"] == 4


def test_a_worker_that_is_gone_ends_the_process() -> None:
    read, exchange = without_process()
    os.close(read)
    exchange.period(np.zeros((1, FRAMES), np.float32))
    assert exchange.ended.is_set()
    assert exchange.reason == ""


def without_process() -> tuple[int, Any]:
    """The I/O process's side with a pipe of its own, and the pipe's other end."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    files = [SharedFile() for _ in range(3)]
    for file, size in zip(files, (ring_size(1, FRAMES), ring_size(1, FRAMES), Counters.SIZE), strict=True):
        file.allocate(size)
    exchange: Any = Exchange.__new__(Exchange)
    exchange.output, exchange.ended, exchange.reason = write, threading.Event(), ""
    exchange.to_worker, exchange.from_worker = (Ring(file.name, 1, FRAMES) for file in files[:2])
    exchange.counters = Counters(files[2].name)
    for file in files:
        file.close()
    exchange.back, exchange.before = (np.zeros((1, FRAMES), np.float32) for _ in range(2))
    exchange.sent, exchange.playing, exchange._release_due = True, True, False
    return read, exchange


def test_the_process_ends_when_the_worker_hangs_up(unread: Worked) -> None:
    assert unread.process.stdin is not None
    unread.process.stdin.close()
    assert unread.process.wait(LIMIT) == 0


def test_the_process_ends_when_the_worker_hangs_up_before_the_first_period() -> None:
    worked = Worked(0)
    assert worked.process.stdin is not None
    worked.process.stdin.close()
    assert worked.process.wait(LIMIT) == 0
    worked.close()


def heard() -> tuple[Any, list[tuple[int, bytes]]]:
    """A board without a process, and the messages that reach it: empty ones for a release."""
    messages: list[tuple[int, bytes]] = []
    board: Any = LiveBoard.__new__(LiveBoard)
    board.host, board.log, board.connections = SimpleNamespace(name="x"), print, set()
    board.midi = lambda offset, message: messages.append((offset, message))
    board.unplugged = lambda: messages.append((0, b""))
    return board, messages


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=80))
def test_every_period_is_wet_or_dry_and_never_out_of_place(course: list[tuple[int, bool]]) -> None:
    """Whatever the worker's course: how many blocks it computes in a period, and whether it stops within the last one.

    What it computed in time is heard, and as soon as it is in time again, all of it.
    """
    read, exchange = without_process()
    rings = exchange.to_worker, exchange.from_worker
    exchange.from_worker.put(np.zeros((1, FRAMES), np.float32))
    block, at_work, answered = np.zeros((1, FRAMES), np.float32), None, {0.0}
    expected = []
    for period, (blocks, stops) in enumerate([*course, *[(12, False)] * 12], 1):
        heard = float(exchange.period(np.full((1, FRAMES), period, np.float32))[0, 0])
        last = period - 1.0
        assert heard == (-last if last in answered else last)
        expected.append(last in answered)
        for number in range(blocks):
            if at_work is None and rings[0].take(block):
                at_work = float(block[0, 0])
            if at_work is None or (stops and number == blocks - 1):
                break
            assert rings[1].put(np.full((1, FRAMES), -at_work, np.float32))
            answered.add(at_work)
            at_work = None
    assert expected[-10:] == [True] * 10
    assert exchange.counters.read()["dropouts"] == expected.count(False)
    os.close(read)
    os.close(exchange.output)


@st.composite
def sent(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, bytes]], set[tuple[str, str]]]:
    data, messages, connections = b"", [], set()
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from("BMC"))
        if kind == "B":
            data += b"B"
        elif kind == "M":
            offset, message = draw(st.integers(0, 4095)), draw(st.binary(max_size=255))
            data += b"M" + MIDI.pack(len(message), offset) + message
            messages.append((offset if message else 0, message))
        else:
            own, other, made = draw(st.tuples(st.sampled_from("ab"), st.text(max_size=5), st.booleans()))
            text = json.dumps([own, other, made]).encode()
            data += b"C" + CONNECTION.pack(len(text)) + text
            (connections.add if made else connections.discard)((own, other))
    return data, messages, connections


@given(sent(), st.lists(st.integers(1, 40), min_size=1))
def test_messages_arrive_however_the_pipe_cuts_them(
    case: tuple[bytes, list[tuple[int, bytes]], set[tuple[str, str]]], cuts: list[int]
) -> None:
    data, messages, connections = case
    board, arrived = heard()
    held, at = b"", 0
    while data:
        part, data = data[: cuts[at % len(cuts)]], data[cuts[at % len(cuts)] :]
        held, at = board._messages(held + part), at + 1
    assert (held, arrived, board.connections) == (b"", messages, connections)


def test_midi_that_raises_does_not_end_the_engine() -> None:
    board, _ = heard()
    sentences: list[str] = []
    board.log = sentences.append
    board.midi = lambda offset, message: struct.unpack("<I", b"")
    assert board._messages(b"BM" + MIDI.pack(1, 0) + b"\xfe" + b"B") == b""
    assert len(sentences) == 1
    assert "MIDI" in sentences[0]


def test_shared_files_have_no_name_where_the_system_allows_it() -> None:
    file = SharedFile()
    file.allocate(ring_size(1, 64))
    one, other = Ring(file.name, 1, 64), Ring(file.name, 1, 64)
    if sys.platform != "win32":
        assert isinstance(file.name, int)
        assert os.fstat(file.name).st_nlink == 0
    file.close()
    block, out = np.arange(64, dtype=np.float32)[None], np.zeros((1, 64), np.float32)
    assert one.put(block)
    assert other.take(out)
    np.testing.assert_array_equal(out, block)


def test_a_lack_of_memory_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    file = SharedFile()
    monkeypatch.setattr("bridge.live.ring.os.write", full)
    with pytest.raises(OSError, match="No space left"):
        file.allocate(1000)
    file.close()


def test_leftovers_of_killed_processes_are_removed() -> None:
    old, new = ring_file(1, 64), ring_file(1, 64)
    try:
        os.utime(old, (time.time() - 3600, time.time() - 3600))
        remove_leftovers()
        assert (old.exists(), new.exists()) == (False, True)
    finally:
        new.unlink()


def test_an_interface_that_asks_for_no_more_audio_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some systems behave when it is unplugged."""
    now = [1000.0]
    monkeypatch.setattr(portaudio_process, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ended: list[str] = []
    periods = {"periods": 7}
    exchange: Any = SimpleNamespace(counters=SimpleNamespace(read=lambda: periods), end=ended.append)
    watch = portaudio_process.Watch(exchange)
    for _ in range(100):
        periods["periods"] += 1
        now[0] += limits.LIVE_SILENT_SECONDS / 2
        watch.tend()
    assert ended == []
    now[0] += limits.LIVE_SILENT_SECONDS + 1
    watch.tend()
    assert ended == ["the audio interface asks for no more audio"]


class FakeProcess:
    """An I/O process that exists in this process only, and ends when the test says so."""

    made: ClassVar[list[FakeProcess]] = []

    def __init__(self, kind: str, wanted: dict[str, object]) -> None:
        self.number = len(self.made)
        self.made.append(self)
        read, self.write = os.pipe()
        self.process = SimpleNamespace(stdout=os.fdopen(read, "rb", 0), pid=0)
        self.alive = True
        self.client, self.sample_rate, self.frames = "fake", 44100.0 + self.number, 32 + self.number
        files = [SharedFile() for _ in range(3)]
        for file, size in zip(files, 2 * [ring_size(1, self.frames)] + [Counters.SIZE], strict=True):
            file.allocate(size)
        self.incoming, self.outgoing = (Ring(file.name, 1, self.frames) for file in files[:2])
        self.counters = Counters(files[2].name)
        self.connections: list[tuple[str, str]] = []

    def meet(self) -> None:
        if self.number == 1:
            raise BridgeError("no live audio: not yet")

    def begin(self, connections: Iterable[tuple[str, str]]) -> None:
        self.connections = sorted(connections)

    def play(self) -> None:
        pass

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            os.close(self.write)

    hang_up = stop = kill

    def free(self) -> str:
        return f"process {self.number} ended"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeProcess]:
    monkeypatch.setattr(live_board, "IOProcess", FakeProcess)
    monkeypatch.setattr(FakeProcess, "made", [])
    return FakeProcess


def test_a_board_connects_again_with_what_it_knew(fake: type[FakeProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts go on, connections are remade, the stream is opened for the new rate, the attempt that fails is silent."""
    monkeypatch.setattr(limits, "LIVE_FIRST_WAIT_SECONDS", 0.001)
    sentences: list[str] = []
    board = LiveBoard(BoardHost("fake", Pedalboard), "jack", 1, log=sentences.append)
    first = fake.made[0]
    for pair in (["in_1", "guitar", True], ["in_1", "noise", True], ["in_1", "noise", False]):
        text = json.dumps(pair).encode()
        os.write(first.write, b"C" + CONNECTION.pack(len(text)) + text)
    wait_until(lambda: board.connections == {("in_1", "guitar")})
    first.counters.add("dropouts", 3)
    first.kill()
    wait_until(lambda: len(sentences) == 2)
    last = fake.made[2]
    last.counters.add("dropouts", 4)
    assert sentences[0] == "fake: live audio ended: process 0 ended; trying again until it is back"
    assert sentences[1] == f"fake: fake (jack) is back, 34 frames late, {board.path}"
    assert board.status() == {"dropouts": 7, "xruns": 0, "midi_lost": 0}
    assert last.connections == [("in_1", "guitar")]
    assert board.stream.spec == Spec(44102, 1, 34)
    assert board.host.streams == [board.stream]
    assert board.connected
    board.close()
    assert not board.connected
    assert board.host.streams == []


def test_a_process_that_ends_at_once_is_started_ever_more_rarely(
    fake: type[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    board = LiveBoard(BoardHost("fake", Pedalboard), "jack", 1)

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 8

    def begin(process: FakeProcess, connections: object) -> None:
        process.kill()

    monkeypatch.setattr(board._closing, "wait", wait)
    monkeypatch.setattr(FakeProcess, "begin", begin)
    fake.made[0].kill()
    wait_until(lambda: not board.thread.is_alive())
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    board.close()


# -- with a JACK server --------------------------------------------------------------------------------------------

try:
    import jack
except Exception:  # the package or the system's library is missing
    jack = None
needs_jack = pytest.mark.skipif(
    jack is None or shutil.which("jackd") is None, reason="jackd, JACK-Client or libjack is not installed"
)


@contextlib.contextmanager
def client(server: str) -> Iterator[Any]:
    """A JACK client that only looks and connects."""
    made = jack.Client("neural-fx-look", no_start_server=True, servername=server)
    try:
        yield made
    finally:
        made.close()


def connections(server: str, port: str) -> list[str]:
    with client(server) as look:
        return [other.name for other in look.get_all_connections(port)]


WORKER = """
import json, sys
import neural_fx
from pedalboard import Gain
from rich.console import Console
from bridge.host import BoardHost
from bridge.live.board import LiveBoard
from neural_fx.pedalboard import Pedalboard

released = []
board = LiveBoard(
    BoardHost("stopped", lambda: Pedalboard([neural_fx.load(sys.argv[2]) if sys.argv[2:] else Gain(-6)])),
    "jack", 1, sys.argv[1],
    unplugged=lambda: released.append(1), log=lambda sentence: None,
)
print(json.dumps([board.client, board.process.pid, board.latency, board.native]), flush=True)
for line in sys.stdin:
    print(json.dumps({**board.status(), "released": len(released)}), flush=True)
board.close()
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip


class Player:
    """A JACK client that plays noise and controllers into a board, and keeps what comes back."""

    def __init__(self, server: str, board: str, plays: Pedalboard) -> None:
        self.client = jack.Client("neural-fx-player", no_start_server=True, servername=server)
        self.frames = self.client.blocksize
        self.heard: list[np.ndarray] = []
        noises = noise(4096 * self.frames)
        self.blocks = noises.reshape(4096, self.frames)
        self.wet = plays(noises, 48000).reshape(4096, self.frames)
        out, into = self.client.outports.register("out"), self.client.inports.register("in")
        notes = self.client.midi_outports.register("midi")

        @self.client.set_process_callback  # type: ignore[untyped-decorator]
        def process(frames: int) -> None:
            block = self.blocks[len(self.heard) % len(self.blocks)]
            out.get_array()[:] = block
            notes.clear_buffer()
            for value in range(20):
                notes.write_midi_event(value, bytes([0xB0, 7, value]))
            self.heard.append(into.get_array().copy())

        self.client.activate()
        self.client.connect(out, f"{board}:in_1")
        self.client.connect(f"{board}:out_1", into)
        self.client.connect(notes, f"{board}:midi_in")

    def wait(self, periods: int) -> int:
        """Wait for that many further periods, and return the count of all."""
        until = len(self.heard) + periods
        wait_until(lambda: len(self.heard) >= until)
        return until

    def close(self) -> None:
        self.client.deactivate()
        self.client.close()


@needs_jack
@pytest.mark.parametrize("native", [False, True])
def test_a_worker_that_is_stopped_costs_nobody_else_a_period(native: bool, tmp_path: Path) -> None:
    """The server waits for every client in each period, so that a client that is late is not hidden.

    While the worker is stopped the input comes back dry, and afterwards the board, each to the sample in its place.
    """
    name, capture = "nfx-stopped", tmp_path / "one_tap.nam"
    capture.write_text(json.dumps(linear_document(taps=1)))  # of one sample only, like a gain
    with jack_server(name, "-S", "-t", "60000"):
        worker = started(WORKER, name, *[str(capture)] * native)
        assert worker.stdin is not None
        assert worker.stdout is not None
        board, _, latency, in_native_loop = json.loads(worker.stdout.readline())
        player = Player(name, board, Pedalboard([neural_fx.load(capture) if native else Gain(-6)]))
        try:
            player.wait(100)
            os.kill(worker.pid, signal.SIGSTOP)
            stopped = player.wait(20)
            going = player.wait(800)
            os.kill(worker.pid, signal.SIGCONT)
            player.wait(200)
            delay = delay_of(player, stopped, going)
            wait_until(lambda: back_again(player, delay))
            end = len(player.heard) - 1
            worker.stdin.write("status\n")
            worker.stdin.flush()
            status = json.loads(worker.stdout.readline())
        finally:
            os.kill(worker.pid, signal.SIGCONT)
            player.close()
            worker.stdin.close()
            worker.wait(LIMIT)
    verdicts = [verdict(player, k, delay) for k in range(20, end)]
    assert latency == player.frames
    assert in_native_loop == (native and available())
    assert delay in (1, 2)  # the order in which the server calls the two clients
    assert "wrong" not in verdicts
    assert {verdict(player, k, delay) for k in range(stopped + limits.LIVE_RING_BLOCKS, going)} == {"dry"}
    assert status["dropouts"] >= verdicts.count("dry") >= 700
    assert status["midi_lost"] > 0
    assert status["released"] > 0


def delay_of(player: Player, start: int, end: int) -> int:
    """The periods by which the dry input comes back late."""
    for delay in range(4):
        if all(verdict(player, k, delay) == "dry" for k in range(start + limits.LIVE_RING_BLOCKS, end)):
            return delay
    raise AssertionError("the input does not come back while the worker is stopped")


def back_again(player: Player, delay: int) -> bool:
    """Whether the last periods were the board's."""
    end = len(player.heard) - 1
    return all(verdict(player, k, delay) == "wet" for k in range(end - 20, end))


def verdict(player: Player, period: int, delay: int) -> str:
    """Say what a period is: the board's output, the input, or something else."""
    at, heard = (period - delay) % len(player.blocks), player.heard[period]
    if np.array_equal(heard, player.blocks[at]):
        return "dry"
    return "wet" if np.allclose(heard, player.wet[at], rtol=0, atol=1e-6) else "wrong"


@needs_jack
def test_nothing_is_left_of_a_worker_that_is_killed() -> None:
    """Not the I/O process, even if the worker was stopped before or a child of it holds the pipes, and no file."""
    name = "nfx-killed"
    child = "import os, time\nif os.fork() == 0:\n    time.sleep(600)\n"
    with jack_server(name):
        for first, code in (
            (signal.SIGCONT, WORKER),
            (signal.SIGSTOP, WORKER),
            (signal.SIGCONT, WORKER.replace("for line", f"{child}for line")),
        ):
            worker = started(code, name)
            assert worker.stdout is not None
            process = psutil.Process(json.loads(worker.stdout.readline())[1])
            assert shared_with_names(worker.pid) == []
            forks = [other for other in psutil.Process(worker.pid).children() if other.pid != process.pid]
            os.kill(worker.pid, first)
            worker.kill()
            worker.wait()
            wait_until(partial(has_ended, process))
            for fork in forks:
                fork.kill()


@needs_jack
def test_the_board_comes_back_after_its_process_was_killed() -> None:
    """As the same client, with its connections, and without the notes that were held."""
    name, sentences, released = "nfx-again", [], []
    with jack_server(name):
        board = LiveBoard(
            BoardHost("again", Pedalboard), "jack", 1, name,
            unplugged=lambda: released.append(1), log=sentences.append,
        )  # fmt: skip
        try:
            with client(name) as look:
                look.connect("system:capture_1", f"{board.client}:in_1")
                look.connect(f"{board.client}:out_1", "system:playback_1")
            wanted = {("in_1", "system:capture_1"), ("out_1", "system:playback_1")}
            wait_until(lambda: board.connections == wanted)
            killed, counted = board.process.pid, board.status()
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: len(sentences) == 2)
            assert "live audio ended" in sentences[0]
            assert "signal 9" in sentences[0]
            assert "is back" in sentences[1]
            assert released
            assert board.process.pid != killed
            wait_until(lambda: connections(name, f"{board.client}:out_1") == ["system:playback_1"])
            wait_until(lambda: connections(name, f"{board.client}:in_1") == ["system:capture_1"])
            wait_until(lambda: board.stream.blocks > 10)
            assert all(now >= counted[key] for key, now in board.status().items())
            assert len(board.host.streams) == 1
            with client(name) as look:
                look.disconnect("system:capture_1", f"{board.client}:in_1")
            wait_until(lambda: board.connections == {("out_1", "system:playback_1")})
        finally:
            board.close()
    assert board.host.streams == []
    assert not psutil.pid_exists(board.process.pid)


@needs_jack
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_board_comes_back_with_the_server(ending: signal.Signals) -> None:
    """With the new server's period and rate, and the connections that the user had made, also to a later client."""
    name, sentences = f"nfx-back-{ending.name.lower()}", []
    options = Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False, live="jack", live_device=name)
    with contextlib.ExitStack() as stack:
        with jack_server(name) as server:
            worker = Worker(options, sentences.append)
            stack.callback(worker.close)
            board = worker.live[0]
            guest = jack.Client("guest", no_start_server=True, servername=name)
            guest.inports.register("in")
            guest.activate()
            with client(name) as look:
                look.connect("system:capture_1", f"{board.client}:in_1")
                look.connect(f"{board.client}:out_2", "guest:in")
            wait_until(lambda: len(board.connections) == 2)
            assert worker.status()[0]["live"] == "connected"
            server.send_signal(ending)
            server.wait(LIMIT)
            guest.close()
            wait_until(lambda: any("live audio ended" in sentence for sentence in sentences))
            with pytest.raises(BridgeError, match=r"not connected: .*; trying again"):
                board.status()
            assert worker.status()[0]["live"] == "not connected"
            assert len(board.connections) == 2
        stack.enter_context(jack_server(name, rate=44100, frames=512))
        wait_until(lambda: any("is back," in sentence for sentence in sentences))
        assert (board.frames, board.sample_rate, board.latency) == (512, 44100, 512)
        assert board.stream.spec == Spec(44100, 2, 512)
        assert worker.status()[0]["live"] == "connected"
        wait_until(lambda: connections(name, f"{board.client}:in_1") == ["system:capture_1"])
        guest = jack.Client("guest", no_start_server=True, servername=name)
        stack.callback(guest.close)
        guest.inports.register("in")
        guest.activate()
        wait_until(lambda: connections(name, f"{board.client}:out_2") == ["guest:in"])
        assert len([sentence for sentence in sentences if "live audio ended" in sentence]) == 1
        worker.close()
    assert not board.thread.is_alive()


@needs_jack
def test_a_new_period_of_the_server_opens_the_board_anew() -> None:
    name, sentences = "nfx-period", []
    with jack_server(name):
        board = LiveBoard(BoardHost("period", Pedalboard), "jack", 1, name, log=sentences.append)
        try:
            with client(name) as look:
                look.blocksize = 512
            wait_until(lambda: board.connected and board.frames == 512)
            wait_until(lambda: board.stream.blocks > 10)
            assert board.latency == 512
            assert "512 frames" in sentences[0]
        finally:
            board.close()


@needs_jack
def test_an_interface_that_went_away_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """PortAudio, whose only interface here is the JACK server."""
    pytest.importorskip("sounddevice", reason="sounddevice or libportaudio is missing", exc_type=Exception)
    name, sentences = "nfx-interface", []
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    with contextlib.ExitStack() as stack:
        with jack_server(name) as server:
            board = LiveBoard(BoardHost("interface", Pedalboard), "portaudio", 2, log=sentences.append)
            stack.callback(board.close)
            wait_until(lambda: board.stream.blocks > 10)
            server.kill()
            server.wait()
            wait_until(lambda: bool(sentences))
            assert "live audio ended: the audio interface" in sentences[0]
            with pytest.raises(BridgeError, match="not connected"):
                board.status()
        stack.enter_context(jack_server(name))
        wait_until(lambda: len(sentences) == 2)
        assert "is back, 256 frames late" in sentences[1]
        wait_until(lambda: board.stream.blocks > 10)


@needs_jack
@pytest.mark.parametrize("moment", ["waiting", "starting"])
def test_a_board_closes_while_it_connects_again(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of an attempt that the server does not answer."""
    name, sentences = f"nfx-closing-{moment}", []
    monkeypatch.setattr(limits, "LIVE_FIRST_WAIT_SECONDS", 1e6 if moment == "waiting" else 0.01)
    with jack_server(name) as server:
        board = LiveBoard(BoardHost("closing", Pedalboard), "jack", 1, name, log=sentences.append)
        first = board.process.pid
        if moment == "starting":
            server.send_signal(signal.SIGSTOP)
        else:
            server.kill()
            server.wait()
        with contextlib.suppress(ProcessLookupError):  # it ends by itself once the server is gone
            os.kill(first, signal.SIGKILL)
        wait_until(lambda: bool(sentences))
        if moment == "starting":
            wait_until(lambda: board.io.process.pid != first)
        board.close()
        server.send_signal(signal.SIGCONT)
        assert not board.thread.is_alive()
        assert board.io.process.returncode is not None
        assert board.host.streams == []
        with pytest.raises(BridgeError, match="closed"):
            board.status()
        board.close()


@needs_jack
def test_a_board_closes_while_its_server_is_stopped() -> None:
    name = "nfx-frozen"
    with jack_server(name) as server:
        board = LiveBoard(BoardHost("frozen", Pedalboard), "jack", 1, name)
        server.send_signal(signal.SIGSTOP)
        board.close()
        server.send_signal(signal.SIGCONT)
        assert board.process.returncode is not None
        assert not board.thread.is_alive()


@needs_jack
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_command_ends_with_all_that_it_started(ending: signal.Signals) -> None:
    name = "nfx-command"
    command = [sys.executable, "-m", "bridge.cli", "serve", "--live", "jack", "--live-device", name, "--plain"]
    command += ["--osc-port", "0", "--stream-port", "0", "--oscquery-port", "0", "--no-announce"]
    with jack_server(name):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert process.stderr is not None
        for line in process.stderr:
            if "audio on" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 1
        assert shared_with_names(process.pid) == []
        process.send_signal(ending)
        rest = process.stderr.read()
        assert process.wait(LIMIT) == (0 if ending != signal.SIGKILL else -signal.SIGKILL)
        wait_until(lambda: all(map(has_ended, children)))
    assert "live audio ended" not in rest
    assert "leak" not in rest


def test_settings_that_fail_leave_no_process() -> None:
    """A board that refuses the rate is an error after the I/O process has started."""
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(BridgeError, match="no live audio"):
        LiveBoard(BoardHost("empty", Pedalboard), "jack", 1, "no-such-server")
    assert {child.pid for child in psutil.Process().children()} <= before


def test_the_status_screen_says_what_is_not_connected() -> None:
    row: dict[str, object] = {"board": "amp", "streams": 0, "load": 0.0, "late": 0, "latency": 0, "muted": 0}
    shown = {}
    for live in ("", "connected", "not connected"):
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(_table([{**row, "live": live}]))
        shown[live] = "not connected" in console.export_text()
    assert shown == {"": False, "connected": False, "not connected": True}
