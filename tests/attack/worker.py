"""A worker in a process of its own, with files to attack it with, and what it costs the system."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile

from bridge.osc.packets import decode, encode, sized
from bridge.protocol import Kind, pack, pack_json
from tests.conftest import wavenet_document

ROOT = Path(__file__).parents[2]
TOKEN = "correct-horse"
SECONDS_TO_START = 120


@dataclass
class Target:
    """A worker to attack.

    Attributes:
        process: of the worker.
        osc, query, stream: its port numbers.
        replies: a socket on which answers to UDP messages arrive.
        media: its media folder.
        log: the file with everything it printed.
    """

    process: psutil.Process
    osc: int
    query: int
    stream: int
    replies: socket.socket
    media: Path
    log: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """What a process holds.

    Attributes:
        threads, descriptors: how many it has.
        memory: resident bytes that it shares with no other process.
    """

    threads: int
    descriptors: int
    memory: int

    @classmethod
    def of(cls, process: psutil.Process) -> Cost:
        """Measure a process."""
        return cls(process.num_threads(), process.num_fds(), process.memory_full_info().uss)

    def exceeds(self, before: Cost, share: float) -> list[str]:
        """Return a sentence for everything that is more than before by over a share of it."""
        found = []
        for name in ("threads", "descriptors", "memory"):
            was, now = getattr(before, name), getattr(self, name)
            if now > was * (1 + share):
                found.append(f"{name}: {was} before, {now} after")
        return found


@contextmanager
def attacked_worker(folder: Path) -> Iterator[Target]:
    """Start a worker with boards, an instrument and a media folder; kill it afterwards.

    Args:
        folder: for files; it must be empty.

    Raises:
        RuntimeError: the worker does not start; says what it printed.
    """
    media = _media(folder)
    log = folder / "worker.log"
    replies = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    replies.bind(("127.0.0.1", 0))
    replies.settimeout(1)
    command = [sys.executable, "-m", "bridge.cli", "serve", "--plain", "--no-announce", "--token", TOKEN]
    command += ["--osc-port", "0", "--oscquery-port", "0", "--stream-port", "0"]
    command += ["--osc-reply-port", str(replies.getsockname()[1]), "--media", str(media)]
    for name in ("steady", "calm", "lead"):
        command += ["--board", f"{name}={media / 'amp.yaml'}"]
    command += ["--instrument", "solo=flute"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "500", "PYTHONFAULTHANDLER": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True
        )
    try:
        ports = _ports(process, log)
        yield Target(psutil.Process(process.pid), *ports, replies, media, log, [process])
    finally:
        process.kill()
        process.wait()
        replies.close()


def _ports(process: subprocess.Popen[bytes], log: Path) -> tuple[int, int, int]:
    limit = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < limit and process.poll() is None:
        text = log.read_text(errors="replace")
        stream = re.search(r"audio on [^\s,]+:(\d+)", text)
        osc = re.search(r"OSC on [^\s,]+:(\d+)", text)
        query = re.search(r"http://[^\s/]+:(\d+)", text)
        if stream and osc and query:
            return int(osc[1]), int(query[1]), int(stream[1])
        time.sleep(0.05)
    raise RuntimeError(f"the worker did not start:\n{log.read_text(errors='replace')}")


def _media(folder: Path) -> Path:
    """Make a media folder with good and bad files, and files beside it that nobody may read."""
    media = folder / "media"
    media.mkdir()
    (media / "amp.nam").write_text(json.dumps(wavenet_document()))
    (media / "amp.yaml").write_text("board: 1\nslots:\n  - model: amp.nam\n  - plugin: Gain\n    set: {gain_db: -6}\n")
    (media / "other.yaml").write_text("board: 1\nslots:\n  - plugin: Compressor\n  - model: amp.nam\n")
    (media / "broken.yaml").write_text("board: 1\nslots: {")
    (media / "outside.yaml").write_text(f"board: 1\nslots:\n  - ir: {folder / 'secret.wav'}\n")
    soundfile.write(media / "take.wav", np.zeros(48000, np.float32), 48000)
    soundfile.write(folder / "secret.wav", np.ones(480, np.float32), 48000)
    (media / "loop").symlink_to("loop")
    (media / "out").symlink_to(folder)
    if hasattr(os, "mkfifo"):
        os.mkfifo(media / "pipe.wav")
        os.mkfifo(media / "pipe.yaml")
    return media


# -- is it alive? ------------------------------------------------------------------------------------------------------


def answers(target: Target) -> list[str]:
    """Return a sentence for every port on which the worker does not answer within ten seconds."""
    checks: dict[str, Callable[[Target], bool]] = {
        "OSC over UDP": _udp_answers,
        "OSC over TCP": _tcp_answers,
        "OSCQuery over HTTP": _http_answers,
        "OSCQuery over a websocket": _websocket_answers,
        "the streaming port": _stream_answers,
    }
    silent = []
    for name, check in checks.items():
        limit = time.monotonic() + 10
        while not _works(check, target):
            if time.monotonic() > limit:
                silent.append(f"{name} does not answer")
                break
            time.sleep(0.2)
    return silent


def _works(check: Callable[[Target], bool], target: Target) -> bool:
    try:
        return check(target)
    except (OSError, EOFError, ValueError):
        return False


def _udp_answers(target: Target) -> bool:
    drain(target.replies)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode("/ping"), ("127.0.0.1", target.osc))
    limit = time.monotonic() + 2
    while time.monotonic() < limit:
        if _is_pong(target.replies.recv(65536)):
            return True
    return False


def drain(replies: socket.socket) -> int:
    """Read what waits on a socket and return how many datagrams that were."""
    count = 0
    replies.setblocking(False)
    try:
        while True:
            replies.recv(65536)
            count += 1
    except BlockingIOError:
        return count
    finally:
        replies.settimeout(1)


def _is_pong(packet: bytes) -> bool:
    return any(message.address == "/pong" for message in decode(packet))


def _tcp_answers(target: Target) -> bool:
    with socket.create_connection(("127.0.0.1", target.osc), 2) as connection:
        connection.sendall(sized(encode("/ping")))
        size = int.from_bytes(_exactly(connection, 4), "big")
        return _is_pong(_exactly(connection, size))


def _http_answers(target: Target) -> bool:
    with socket.create_connection(("127.0.0.1", target.query), 2) as connection:
        connection.sendall(f"GET /?HOST_INFO HTTP/1.1\r\nHost: 127.0.0.1:{target.query}\r\n\r\n".encode())
        return _exactly(connection, 12) == b"HTTP/1.1 200"


def _websocket_answers(target: Target) -> bool:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    try:
        with connect(f"ws://127.0.0.1:{target.query}/", open_timeout=2, close_timeout=1, proxy=None) as connection:
            connection.send(encode("/ping"))
            packet = connection.recv(2)
            return isinstance(packet, bytes) and _is_pong(packet)
    except WebSocketException:
        return False


def _stream_answers(target: Target) -> bool:
    hello = {"version": 1, "board": "lead", "sample_rate": 48000, "channels": 1, "block": 64, "token": TOKEN}
    with socket.create_connection(("127.0.0.1", target.stream), 2) as connection:
        connection.sendall(pack_json(Kind.HELLO, hello) + pack(Kind.PING, b"x", 7))
        kinds = []
        for _ in range(2):
            header = _exactly(connection, 16)
            kinds.append(header[0])
            _exactly(connection, int.from_bytes(header[4:8], "little"))
        connection.sendall(pack(Kind.BYE))
        return kinds == [Kind.WELCOME, Kind.PONG]


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data
