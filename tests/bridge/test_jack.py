"""A board as a JACK client, against a real jackd: sample-exact, on time, whatever else Python does."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neural_fx
from bridge import limits
from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.live.board import LiveBoard
from bridge.live.ring import Ring
from bridge.midi import Binding, MidiMap, MidiRouter, open_port
from bridge.worker import Options, Worker
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import KlonGainStage
from tests.bridge.jack_servers import jack_server
from tests.bridge.live_rig import ring_file
from tests.bridge.test_stream import settled
from tests.conftest import noise

jack = pytest.importorskip("jack", reason="JACK-Client or libjack is not installed", exc_type=Exception)
pytestmark = pytest.mark.skipif(shutil.which("jackd") is None, reason="jackd is not installed")

RATE, PERIOD = 48000, 256


def test_rings_keep_order_and_refuse_when_full() -> None:
    path = ring_file(2, 4)
    ring, other = Ring(path, 2, 4), Ring(path, 2, 4)
    path.unlink()
    block, out = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    assert not other.take(out)
    size = limits.LIVE_RING_BLOCKS
    assert [ring.put(i * block) for i in range(size + 1)] == [True] * size + [False]
    for i in range(limits.LIVE_RING_BLOCKS):
        assert other.take(out)
        np.testing.assert_array_equal(out, i * block)
    assert (len(ring), len(other)) == (0, 0)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    name = "neural-fx-test"
    with jack_server(name, rate=RATE, frames=PERIOD):
        yield name


@contextlib.contextmanager
def keyboard(server: str, name: str, message: Callable[[], tuple[int, bytes] | None]) -> Iterator[tuple[Any, Any]]:
    """Open a JACK client that sends MIDI, and yield it and its port.

    Its thread takes the interpreter's lock for each period. `deactivate` cancels the thread, and if that hits it there,
    the lock never comes back and the process hangs. So the callback leaves by itself first.

    Args:
        server: name of the JACK server.
        name: of the client.
        message: called in each period; returns a frame and bytes to send, or None.
    """
    client = jack.Client(name, no_start_server=True, servername=server)
    port = client.midi_outports.register("out")
    leaving, left = threading.Event(), threading.Event()

    @client.set_process_callback  # type: ignore[untyped-decorator]
    def process(frames: int) -> None:
        port.clear_buffer()
        if leaving.is_set():
            left.set()
            raise jack.CallbackExit
        if (found := message()) is not None:
            port.write_midi_event(*found)

    with client:
        try:
            yield client, port
        finally:
            leaving.set()
            left.wait(20)
            time.sleep(0.2)  # it still returns to C


def played(server: str, board: LiveBoard, signal: np.ndarray, folder: Path, midi: str = "") -> np.ndarray:
    """What comes back for a signal; JACK itself adds a period to a loop of two clients, which is taken off."""
    np.save(folder / "signal.npy", signal.astype(np.float32))
    probe = Path(__file__).with_name("jack_probe.py")
    files = [str(folder / "signal.npy"), str(folder / "recorded.npy")]
    command = [sys.executable, str(probe), server, board.client, *files, *([midi] if midi else [])]
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    recorded: np.ndarray = np.load(folder / "recorded.npy")
    return recorded


def test_an_impulse_comes_back_when_reported(server: str, tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []
    board = LiveBoard(BoardHost("empty", Pedalboard), "jack", 1, server, lambda at, data: heard.append((at, data)))
    signal = np.zeros(RATE // 2, np.float32)
    signal[10000] = 1.0
    recorded = played(server, board, signal, tmp_path, "903c64")
    assert board.latency == PERIOD
    assert int(np.argmax(recorded)) - 10000 in (board.latency, board.latency + PERIOD)
    assert recorded.max() == 1.0
    assert heard == [(17, bytes([0x90, 60, 100]))]
    board.close()


@pytest.mark.slow
def test_every_period_is_right(server: str, shared: Path, tmp_path: Path) -> None:
    """A1 standard for 30 s beside a thread of pure Python that never rests: sample-exact, unless the machine is so busy
    that periods came back late, which are counted and say nothing of the samples."""
    model = shared / "models/nam/wavenet_a1_standard.nam"
    busy = threading.Event()

    def work() -> None:
        count = 0
        while not busy.is_set():
            count += 1

    switch = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)  # as the worker does
    board = LiveBoard(BoardHost("a1", lambda: Pedalboard([neural_fx.load(model)])), "jack", 1, server)
    signal = 0.3 * noise(30 * RATE)
    thread = threading.Thread(target=work)
    thread.start()
    recorded = played(server, board, signal, tmp_path)
    busy.set()
    thread.join()
    sys.setswitchinterval(switch)
    status = board.status()
    board.close()
    wanted = neural_fx.load(model)(signal, RATE)
    count = len(wanted) // PERIOD
    wrong = count
    for late in (PERIOD, 2 * PERIOD):
        part = recorded[late : late + count * PERIOD]
        off = np.abs(part - wanted[: count * PERIOD]).reshape(count, PERIOD).max(1)
        wrong = min(wrong, int(np.sum(off > 1e-5 * np.abs(wanted).max())))
    if any(status.values()):
        pytest.skip(f"on this machine, {status} of {count} periods; {wrong} were not what was wanted")
    assert wrong == 0


def test_a_worker_opens_a_client_for_every_board(server: str) -> None:
    options = Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False, live="jack", live_device=server)
    worker = Worker(options)
    assert [board.client for board in worker.live] == ["neural-fx-board"]
    assert worker.live[0].status()["dropouts"] >= 0
    worker.close()


def test_a_midi_port(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyboard that is a JACK client, found by a part of its name and read by python-rtmidi."""
    pytest.importorskip("rtmidi", reason="python-rtmidi is not installed")
    import mido

    monkeypatch.setenv("JACK_DEFAULT_SERVER", server)
    monkeypatch.setattr(mido, "backend", mido.Backend("mido.backends.rtmidi/UNIX_JACK"))
    monkeypatch.setattr(mido, "get_input_names", lambda: mido.backend.get_input_names())
    monkeypatch.setattr(mido, "open_input", lambda *args, **more: mido.backend.open_input(*args, **more))
    lead = BoardHost("lead", lambda: Pedalboard([KlonGainStage()]))
    ready = threading.Event()
    with keyboard(server, "stage-keyboard", lambda: (3, b"\xb0\x07\x7f") if ready.is_set() else None):
        router = MidiRouter({"lead": lead}, MidiMap(controls=[Binding(cc=7, to="lead/mix", low=0.0, high=0.25)]))
        with pytest.raises(BridgeError, match=r"no MIDI port 'organ'; there is: .*stage-keyboard:out"):
            open_port("organ", router)
        opened = open_port("Keyboard", router)
        ready.set()
        assert settled(lambda: lead.value("mix") == 0.25)
        opened.close()


def test_a_keyboard_that_is_unplugged_leaves_nothing_hanging(server: str) -> None:
    heard: list[bytes] = []
    gone = threading.Event()
    board = LiveBoard(
        BoardHost("keys", Pedalboard), "jack", 1, server, lambda at, data: heard.append(data), unplugged=gone.set
    )
    with keyboard(server, "stage-piano", lambda: None if heard else (0, b"\x90\x3c\x5a")) as (keys, port):
        keys.connect(port, f"{board.client}:midi_in")
        assert settled(lambda: b"\x90\x3c\x5a" in heard)
        assert not gone.is_set()
    assert settled(gone.is_set)
    board.close()


def test_an_audio_interface(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PortAudio, whose only interface here is the JACK server."""
    sounddevice = pytest.importorskip(
        "sounddevice", reason="sounddevice or libportaudio is missing", exc_type=Exception
    )
    assert sounddevice
    monkeypatch.setenv("JACK_DEFAULT_SERVER", server)
    board = LiveBoard(BoardHost("empty", Pedalboard), "portaudio", 2, frames=PERIOD)
    assert settled(lambda: board.stream.blocks > 50)
    assert (board.frames, board.latency) == (PERIOD, PERIOD)
    assert board.status()["dropouts"] <= board.stream.blocks
    board.close()


def test_a_missing_interface_is_told() -> None:
    with pytest.raises(BridgeError, match="sounddevice installed"):
        LiveBoard(BoardHost("empty", Pedalboard), "portaudio", 1, "no such interface")


def test_a_missing_server_is_told() -> None:
    with pytest.raises(BridgeError, match="is a JACK server running"):
        LiveBoard(BoardHost("empty", Pedalboard), "jack", 1, "no-such-server")
