"""The audio thread: `run` under a counting allocator, with a worker that plays and with one that reads nothing."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bridge.plugin
from bridge.protocol import Kind, pack_json
from bridge.stream_server import StreamServer, receive


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("g++") or not Path("/usr/include/nlohmann/json.hpp").exists():
        pytest.skip("no compiler or no JSON library (Debian: apt-get install g++ nlohmann-json3-dev)")
    program = tmp_path_factory.mktemp("probe") / "probe"
    source = Path(bridge.plugin.__file__).parent / "src"
    files = [file for file in source.glob("*.cpp") if file.name != "plugin.cpp"]  # that one needs the framework
    main = Path(__file__).parent / "realtime_probe.cpp"
    command = ["g++", "-std=c++17", "-O2", f"-I{source}", main, *files, "-pthread", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run(probe: Path, port: int, seconds: float) -> dict[str, float]:
    done = subprocess.run([probe, str(port), str(seconds)], capture_output=True, text=True, timeout=120, check=True)
    return dict(json.loads(done.stdout))


@contextmanager
def deaf_worker() -> Iterator[int]:
    """Welcomes, and then never reads nor says anything: the client's socket fills up."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    held: list[socket.socket] = []

    def welcome() -> None:
        while True:
            try:
                connection, _ = listener.accept()
                receive(connection)
                connection.sendall(pack_json(Kind.WELCOME, {"version": 1, "board": "lead", "latency": 0}))
                held.append(connection)
            except (OSError, EOFError):
                return

    threading.Thread(target=welcome, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()
    for connection in held:
        connection.close()


def assert_real_time(found: dict[str, float]) -> None:
    assert found["allocations"] == 0
    assert found["waits"] == 0  # times are for the benchmark: here a thread may be interrupted, but must never wait


def test_with_a_worker(probe: Path, server: StreamServer) -> None:
    found = run(probe, server.port, 2)
    assert_real_time(found)
    assert found["connected"] == 1


def test_with_a_socket_that_is_blocked(probe: Path) -> None:
    with deaf_worker() as port:
        found = run(probe, port, 8)
    assert_real_time(found)
    assert found["dropouts"] == 1


def test_without_a_worker(probe: Path) -> None:
    found = run(probe, 1, 1)
    assert_real_time(found)
    assert found["connected"] == 0
