"""Measure round trips through a worker on this machine: single blocks, and many streams in real time.

    python demos/bench_worker.py --model wavenet_a1_standard.nam [--streams 16 --seconds 60]

Starts its own worker on free ports. Prints JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import bridge
from bridge.osc.packets import decode, encode

RATE = 48000


def single(address: str, board: str, frames: int = 256, blocks: int = 4000) -> dict[str, float]:
    """Measure the round trips of a stereo stream that sends the next block at once.

    Args:
        address: HOST:PORT of the worker.
        board: name of the board.
        frames: samples of a block.
        blocks: number of blocks.

    Returns:
        Median and 99th percentile in microseconds.
    """
    remote = bridge.connect(address, board)
    x = 0.1 * np.random.default_rng(0).standard_normal((2, frames)).astype(np.float32)
    for _ in range(blocks):
        remote.process(x, RATE, frames, reset=False)
    trips = 1e6 * np.array(list(remote.round_trips)[200:])
    remote.close()
    return {"p50_us": round(float(np.median(trips))), "p99_us": round(float(np.percentile(trips, 99)))}


def paced(address: str, board: str, streams: int, frames: int, seconds: float) -> dict[str, float]:
    """Measure mono streams in real time, each with a connection and a thread of its own.

    Args:
        address: HOST:PORT of the worker.
        board: name of the board.
        streams: number of streams.
        frames: samples of a block.
        seconds: duration.

    Returns:
        Number of blocks, of late and of lost ones, and the slowest in ms. A block is late if the next one is due before
        it returns.
    """
    late, slowest, lost = [0] * streams, [0.0] * streams, [0] * streams
    start = time.perf_counter() + 2

    def play(index: int) -> None:
        remote = bridge.connect(address, board)
        x = 0.1 * np.random.default_rng(index).standard_normal((1, frames)).astype(np.float32)
        remote.process(x, RATE, frames, reset=False)
        period = frames / RATE
        begin = start + period * index / streams
        for block in range(int(seconds / period)):
            due = begin + block * period
            time.sleep(max(0.0, due - time.perf_counter()))
            lost[index] += remote.process(x, RATE, frames, reset=False).shape[1] != frames
            taken = time.perf_counter() - due
            late[index] += taken > period
            slowest[index] = max(slowest[index], taken)
        remote.close()

    threads = [threading.Thread(target=play, args=(i,)) for i in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    blocks = streams * int(seconds * RATE / frames)
    return {"blocks": blocks, "late": sum(late), "lost": sum(lost), "slowest_ms": round(1000 * max(slowest), 2)}


def flooded(address: str, osc_port: int, board: str, rate: int, seconds: float, frames: int = 256) -> dict[str, object]:
    """Measure a mono stream in real time while another process sends OSC messages over TCP.

    Every message sets the mix to a new value. At the end, the mix is queried to check that all messages arrived.

    Args:
        address: HOST:PORT of the worker's streaming port.
        osc_port: OSC port of the worker on this machine.
        board: name of the board.
        rate: OSC messages per second.
        seconds: duration.
        frames: samples of a block.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    sender = context.Process(target=pour, args=(osc_port, board, rate, seconds, answers))
    sender.start()
    answers.get()  # the sender has encoded its messages
    playing = paced(address, board, 1, frames, seconds + 2)
    sent, took, kept, last = answers.get()
    sender.join()
    return {"messages": sent, "seconds": round(took, 2), "all_arrived": abs(kept - last) < 1e-6, **playing}


def pour(osc_port: int, board: str, rate: int, seconds: float, answers: multiprocessing.Queue[Any]) -> None:
    """Send OSC messages that were encoded in advance, so that encoding does not slow the sender down.

    Args:
        osc_port: OSC port of the worker on this machine.
        board: name of the board.
        rate: messages per second.
        seconds: duration.
        answers: queue for the results: None when ready, then messages, seconds, final mix, and the last value sent.
    """
    total, size = int(rate * seconds), rate // 500
    values = [0.5 + i / (2 * total) for i in range(1, total + 1)]
    packets = [framed(encode(f"/{board}/mix", value)) for value in values]
    parts = [b"".join(packets[i : i + size]) for i in range(0, total, size)]
    connection = socket.create_connection(("127.0.0.1", osc_port))
    answers.put(None)
    time.sleep(3)  # `paced` begins after two
    begin = time.perf_counter()
    for i, part in enumerate(parts):
        time.sleep(max(0.0, begin + i * size / rate - time.perf_counter()))
        connection.sendall(part)
    took = time.perf_counter() - begin
    connection.sendall(framed(encode(f"/{board}/mix")))
    reply = connection.makefile("rb")
    answer = decode(reply.read(int.from_bytes(reply.read(4), "big")))[0]
    answers.put((total, took, float(answer.arguments[0]), values[-1]))


class Stalls:
    """Measure how late the machine wakes a process that repeatedly sleeps for a millisecond."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.done, self.answers = context.Event(), context.Queue()
        self.process = context.Process(target=_sleep, args=(self.done, self.answers))
        self.process.start()

    def stop(self, limit: float) -> dict[str, float]:
        """Stop the process, and return how often it was late by more than `limit` seconds, and the worst delay."""
        self.done.set()
        late = np.array(self.answers.get())
        self.process.join()
        return {"over_a_block": int((late > limit).sum()), "slowest_ms": round(1000 * float(late.max(initial=0)), 2)}


def _sleep(done: Any, answers: Any) -> None:
    late, at = [], time.perf_counter()
    while not done.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        late.append(now - at - 0.001)
        at = now
    answers.put(late)


def framed(packet: bytes) -> bytes:
    """Return a packet with its size in front, the framing of OSC 1.0 over TCP."""
    return len(packet).to_bytes(4, "big") + packet


def main() -> None:
    """Start a worker, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--frames", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    gc.disable()  # a collection here would be measured as the worker's delay
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yaml"
        empty.write_text("board: 1\nslots: []\n")
        command = [sys.executable, "-m", "bridge.cli", "serve", "--plain", "--no-announce", "--oscquery-port", "0"]
        command += [
            "--osc-port",
            "0",
            "--stream-port",
            "0",
            "--board",
            f"empty={empty}",
            "--board",
            f"m={options.model}",
        ]
        worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert worker.stderr is not None
            found = re.search(r"audio on [\d.]+:(\d+), OSC on [\d.]+:(\d+)", worker.stderr.readline())
            assert found
            threading.Thread(target=worker.stderr.read, daemon=True).start()
            address = f"127.0.0.1:{found[1]}"
            sys.setswitchinterval(0.0002)
            many = f"{options.streams} mono streams of {options.model.stem}, {options.frames} frames"
            results: dict[str, object] = {}
            stalls = Stalls()
            results["20,000 OSC messages a second beside a stream"] = flooded(address, int(found[2]), "m", 20000, 5)
            results["meanwhile, a process that only sleeps"] = stalls.stop(256 / RATE)
            results["empty, 256 stereo"] = single(address, "empty")
            results[f"{options.model.stem}, 256 stereo"] = single(address, "m")
            stalls = Stalls()
            results[many] = paced(address, "m", options.streams, options.frames, options.seconds)
            results["in that time, a process that only sleeps"] = stalls.stop(options.frames / RATE)
        finally:
            worker.terminate()
            worker.wait(10)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
