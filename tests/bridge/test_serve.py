"""`neural-fx serve` as a process: ports, signals, status, errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError
from bridge.osc.packets import encode, sized
from bridge.worker import Options, Worker
from tests.bridge.test_stream import settled
from tests.conftest import Run, noise

BOARD = "board: 1\nslots:\n  - plugin: Gain\n    set: {{gain_db: {}}}\n"


def start(*arguments: object) -> tuple[subprocess.Popen[str], int, Callable[[str], str]]:
    """The process, its streaming port, and a reader that waits for a line with some words."""
    command = [sys.executable, "-m", "bridge.cli", "serve", "--osc-port", "0", "--stream-port", "0", "--plain"]
    command += ["--oscquery-port", "0", "--no-announce"]
    environment = {**os.environ, "COLUMNS": "300"}
    process = subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=environment)

    def line(words: str) -> str:
        assert process.stderr is not None
        for text in process.stderr:
            if words in text:
                return text
        raise AssertionError(f"the worker ended without saying {words!r}")

    port = re.search(r"audio on [\w.]+:(\d+)", line("audio on"))
    assert port
    return process, int(port[1]), line


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_reloads_and_ends(tmp_path: Path, ending: signal.Signals) -> None:
    path = tmp_path / "lead.yaml"
    path.write_text(BOARD.format(-20))
    process, port, line = start("--board", f"lead={path}")
    try:
        remote = bridge.connect(f"127.0.0.1:{port}", "lead")
        x = noise(4800)[None]
        np.testing.assert_allclose(remote(x, 48000), 0.1 * x, rtol=1e-4)
        path.write_text(BOARD.format(-40))
        process.send_signal(signal.SIGHUP)
        line("lead: loaded again")
        np.testing.assert_allclose(remote(x, 48000), 0.01 * x, rtol=1e-4)
        path.write_text("slots: 3")
        process.send_signal(signal.SIGHUP)
        line("lead: stays as it was")
        np.testing.assert_allclose(remote(x, 48000), 0.01 * x, rtol=1e-4)
        process.send_signal(ending)
        assert process.wait(10) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_open_connections_do_not_keep_it_from_ending(ending: signal.Signals) -> None:
    """Websockets that never answer, half a handshake, half a packet, a subscriber: it ends within seconds."""
    command = [sys.executable, "-m", "bridge.cli", "serve", "--osc-port", "0", "--stream-port", "0", "--plain"]
    command += ["--oscquery-port", "0", "--no-announce"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"OSC on 127.0.0.1:(\d+).*http://127.0.0.1:(\d+)/\?token=(\S+)", process.stderr.readline())
        assert found
        osc, web = int(found[1]), int(found[2])
        with contextlib.ExitStack() as stack:

            def open_with(port: int, data: bytes) -> socket.socket:
                made = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
                made.sendall(data)
                return made

            head = f"GET /?token={found[3]} HTTP/1.1\r\nHost: 127.0.0.1:{web}\r\nOrigin: http://127.0.0.1:{web}\r\n"
            upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            upgrade += "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            for _ in range(10):
                assert open_with(web, f"{head}{upgrade}".encode()).recv(12) == b"HTTP/1.1 101"
                open_with(web, b"GET / HT")
                open_with(osc, b"\0\0")
                assert open_with(osc, sized(encode("/subscribe"))).recv(1)
            process.send_signal(ending)
            assert process.wait(8) == 0, "a closing handshake of websockets alone would wait for 10 s"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_refuses_what_is_unsafe_or_taken(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "lead.yaml"
    path.write_text(BOARD.format(0))
    worker = Worker(Options({"lead": path}, osc_port=0, stream_port=0, oscquery_port=0, announce=False))
    try:
        for arguments, words in [
            (["--host", "0.0.0.0"], "--token"),
            (["--host", "::"], "--token"),
            (["--host", "192.0.2.1", "--token", "x"], "192.0.2.1"),
            (["--host", "no-such-host.invalid", "--token", "x"], "no-such-host.invalid"),
            (["--board", "lead"], "NAME=FILE"),
            (["--board", f"Lead Guitar={path}"], "lower case"),
            (["--board", f"ping={path}"], "none of ping, boards, "),
            (["--board", f"lead={tmp_path / 'no.yaml'}"], "cannot be read"),
            (["--config", tmp_path / "no.yaml"], "cannot be read"),
            (["--live", "asio"], "expected jack, portaudio or none"),
            (["--midi", "keys", "--osc-port", 0, "--stream-port", 0, "--oscquery-port", 0], "MIDI port"),
            (["--stream-port", worker.streams.port], "already"),
        ]:
            status, _, err = run("serve", *arguments)
            assert (status, words in err, len(err.strip().splitlines())) == (2, True, 1), err
        assert worker.status()[0]["board"] == "lead"
    finally:
        worker.close()


def test_a_worker_on_ipv6_is_reached() -> None:
    try:
        worker = Worker(Options({}, "::1", osc_port=0, stream_port=0, oscquery_port=0, announce=False))
    except BridgeError:
        pytest.skip("no IPv6 on this machine")
    try:
        x = noise(480)[None]
        remote = bridge.connect(f"[::1]:{worker.streams.port}", "board")
        np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
        remote.close()
    finally:
        worker.close()


def test_a_worker_without_boards_has_an_empty_one() -> None:
    worker = Worker(Options({}, osc_port=0, stream_port=0, oscquery_port=0, announce=False))
    remote = bridge.connect(f"127.0.0.1:{worker.streams.port}", "board")
    x = noise(480)[None]
    np.testing.assert_array_equal(remote.process(x, 48000, reset=False), x)
    assert settled(lambda: worker.status()[0]["streams"] == 1)
    worker.close()
    remote.timeout = 0.2
    with pytest.raises(BridgeError):
        remote.process(x, 48000, reset=False)
    time.sleep(0.05)
