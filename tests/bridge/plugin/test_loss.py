"""The worker is killed and started again while the plugin plays, as on stage: in real time, without waiting."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest

from bridge.host import BoardHost
from bridge.protocol import Kind, pack, pack_audio, pack_json, unpack_audio
from bridge.stream_server import StreamServer
from bridge.wire import receive
from neural_fx.pedalboard import Pedalboard
from tests.bridge.plugin.conftest import Load, reading

AMPLITUDE, PERIOD = 0.5, 480  # 100 Hz
RATE, BLOCK, BUDGET = 48000, 480, 16384
"""A third of a second for the way to the worker and back: time enough on the busiest machine."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def serve(board: Path, port: int, *more: str) -> subprocess.Popen[str]:
    options = ["--stream-port", port, "--osc-port", 0, "--oscquery-port", 0, "--no-announce", "--plain", *more]
    command = [sys.executable, "-m", "bridge.cli", "serve", "--board", f"half={board}", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
    raise AssertionError("the worker does not listen")


class Stage:
    """A sine through the plugin, block by block at the pace of a clock; what is heard is kept."""

    def __init__(self, plugin: Any) -> None:
        plugin.latency_budget_frames, plugin.wait_for_worker = BUDGET, "Never"
        plugin.process(np.zeros((2, RATE), np.float32), RATE, buffer_size=BLOCK)  # parameters arrive with audio
        self.plugin, self.played = plugin, 0
        self.heard: list[np.ndarray] = []
        self.began = time.monotonic()

    def play(self, seconds: float) -> None:
        for _ in range(round(seconds * RATE / BLOCK)):
            time.sleep(max(self.began + self.played / RATE - time.monotonic(), 0))
            wave = AMPLITUDE * np.sin(2 * np.pi * np.arange(self.played, self.played + BLOCK) / PERIOD)
            block = np.repeat(wave.astype(np.float32)[None], 2, 0)
            self.heard.append(self.plugin.process(block, RATE, buffer_size=BLOCK, reset=False))
            self.played += BLOCK

    def rest(self) -> None:
        """Let the clock wait."""
        self.began = time.monotonic() - self.played / RATE

    @property
    def out(self) -> np.ndarray:
        return np.concatenate(self.heard, 1)[0]

    def circle(self) -> np.ndarray:
        """The output as a point that goes round: its magnitude is the sine's amplitude, its angle the time."""
        out = self.out
        quarter = PERIOD // 4
        return out[quarter:] + 1j * out[:-quarter]


@pytest.mark.slow
def test_killed_and_started_again(load: Load, tmp_path: Path) -> None:
    board = tmp_path / "half.yaml"
    board.write_text(
        "slots:\n- plugin: Gain\n  set: {gain_db: 0}\nmacros:\n- {name: Gain, to: gain/gain_db, min: -60, max: 0}\n"
    )
    port = free_port()
    worker = serve(board, port)
    plugin = load(port, "half")
    plugin.macro_1_gain = -12.0412  # a quarter
    stage = Stage(plugin)
    before = reading(plugin, "dropouts")
    stage.play(1.5)
    assert reading(plugin, "dropouts") == before
    worker.kill()
    worker.wait()
    stage.play(1.5)
    assert reading(plugin, "dropouts") == before + 1
    assert reading(plugin, "connected") == 0
    worker = serve(board, port)
    stage.rest()
    stage.play(2.5)
    assert reading(plugin, "connected") == 1
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    assert reading(plugin, "dropouts") == before + 1
    circle, times = stage.circle(), []
    for begin, end, gain in ((0.6, 1.3, 0.25), (1.9, 2.8, 1.0), (5.0, 5.4, 0.25)):
        part = circle[round(begin * RATE) : round(end * RATE)]
        np.testing.assert_allclose(np.abs(part), gain * AMPLITUDE, atol=0.005)
        times.append(part * np.exp(-2j * np.pi * np.arange(round(begin * RATE), round(end * RATE)) / PERIOD))
    angles = np.angle(np.concatenate(times) / times[0][0])
    np.testing.assert_allclose(angles, 0, atol=0.02)  # the dry signal and the new stream are where the old one was
    assert np.abs(np.diff(stage.out)).max() < 1.2 * AMPLITUDE * 2 * np.pi / PERIOD  # no click


@pytest.mark.slow
def test_a_worker_that_comes_later(load: Load, tmp_path: Path) -> None:
    """None at load; once it is there, the plugin finds it by itself within a second."""
    board = tmp_path / "half.yaml"
    board.write_text("slots:\n- plugin: Gain\n  set: {gain_db: -12.0412}\n")
    port = free_port()
    stage = Stage(load(port, "half"))
    stage.play(1.0)
    worker = serve(board, port)
    stage.rest()
    stage.play(2.5)
    worker.terminate()
    worker.wait(20)
    sizes = np.abs(stage.circle())
    np.testing.assert_allclose(sizes[round(0.5 * RATE) : round(0.9 * RATE)], AMPLITUDE, atol=0.005)
    np.testing.assert_allclose(sizes[-round(0.5 * RATE) :], 0.25 * AMPLITUDE, atol=0.005)


def reaches(plugin: Any, connected: int) -> bool:
    """Return whether the plugin comes to report a state; far later than it should, so that no busy machine fails."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if now(plugin) == connected:
            return True
        time.sleep(0.05)
    return False


def now(plugin: Any) -> float:
    """Return what the plugin reports; a host learns it with the next block."""
    plugin.process(np.zeros((2, BLOCK), np.float32), RATE, buffer_size=BLOCK, reset=False)
    return reading(plugin, "connected")


@pytest.fixture
def half(tmp_path: Path) -> Path:
    board = tmp_path / "half.yaml"
    board.write_text("slots:\n- plugin: Gain\n  set: {gain_db: -12.0412}\n")
    return board


@pytest.mark.slow
@pytest.mark.parametrize("playing", [False, True])
def test_a_stopped_worker_is_not_connected(load: Load, half: Path, playing: bool) -> None:
    """Its connections stay open: only silence shows it. Also while the host plays nothing."""
    port = free_port()
    worker = serve(half, port)
    try:
        plugin = load(port, "half")
        plugin.wait_for_worker = "Never"
        assert reaches(plugin, 1)
        worker.send_signal(signal.SIGSTOP)
        if not playing:
            time.sleep(5)
        assert reaches(plugin, 0)
        worker.send_signal(signal.SIGCONT)
        assert reaches(plugin, 1)
    finally:
        worker.kill()
        worker.wait()
    assert reaches(plugin, 0)


@pytest.mark.slow
def test_goodbyes_and_refusals_are_not_connected(load: Load, half: Path) -> None:
    port = free_port()
    plugin = load(port, "half")
    plugin.wait_for_worker = "Never"
    assert now(plugin) == 0
    for options, connected in (((), 1), (("--token", "secret"), 0), ((), 1)):
        worker = serve(half, port, *options)
        try:
            if not connected:
                time.sleep(2)  # it tries several times
            assert reaches(plugin, connected)
        finally:
            worker.terminate()
            worker.wait(60)
        assert reaches(plugin, 0)


def test_a_board_of_160_compressors_reaches_the_plugin(load: Load) -> None:
    """Its WELCOME is longer than most messages may be, and its text longer than a HELLO may hold."""
    many = BoardHost("many", lambda: Pedalboard([pedalboard.Compressor(threshold_db=-20) for _ in range(160)]))
    server = StreamServer({"many": many})
    plugin = load(server.port, "many")
    plugin.wait_for_worker = "Never"
    assert reaches(plugin, 1)
    server.close()


def test_a_gap_in_the_stream_does_not_hold_a_bounce(load: Load, server: StreamServer) -> None:
    """With a larger latency the plugin needs frames again that it has already discarded."""
    plugin = load(server.port, "lead")
    plugin.wait_for_worker, plugin.latency_budget_frames = "Always", 1024
    audio = np.full((2, RATE), 0.1, np.float32)
    plugin.process(audio, RATE, buffer_size=BLOCK, reset=False)
    before = reading(plugin, "dropouts")
    plugin.latency_budget_frames = 4096
    bounce = threading.Thread(target=plugin.process, args=(audio, RATE, BLOCK, False), daemon=True)
    bounce.start()
    bounce.join(60)
    assert not bounce.is_alive()
    assert reading(plugin, "dropouts") > before  # a busy machine may lose more than this one


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_audio_that_is_none_is_not_played(load: Load, sample: float) -> None:
    """A server that answers with NaN loses the plugin, and nobody hears it."""
    listener = socket.create_server(("127.0.0.1", 0))
    loaded, hung_up = threading.Event(), threading.Event()

    def answer() -> None:
        while not hung_up.is_set():
            connection, _ = listener.accept()
            spoiled = False
            try:
                receive(connection)
                connection.sendall(pack_json(Kind.WELCOME, {"version": 1, "board": "", "latency": 0}))
                while True:
                    kind, sequence, payload = receive(connection)
                    if kind is Kind.BLOCK:
                        audio = unpack_audio(payload)[0].copy()
                        spoiled = loaded.is_set()
                        audio[:, -1] = sample if spoiled else 0
                        connection.sendall(pack(Kind.AUDIO, pack_audio(audio), sequence))
            except (OSError, EOFError):
                if spoiled:
                    hung_up.set()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    plugin = load(listener.getsockname()[1])
    plugin.wait_for_worker = "Never"
    loaded.set()
    heard = []
    limit = time.monotonic() + 60
    while not hung_up.is_set() and time.monotonic() < limit:
        heard.append(plugin.process(np.ones((2, BLOCK), np.float32), RATE, buffer_size=BLOCK, reset=False))
        time.sleep(0.01)
    assert hung_up.is_set()
    assert np.isfinite(np.concatenate(heard, 1)).all()
    listener.close()
