"""A client that streams at the pace of real time and checks every block: `python -m tests.attack.player PORT BOARD`.

Runs in a process of its own, until its standard input closes, and then prints what it saw as JSON.
"""

from __future__ import annotations

import json
import select
import sys
import time

import numpy as np

import bridge
from bridge.errors import BridgeError
from tests.attack.worker import TOKEN

FRAMES = 256
RATE = 48000


def main() -> None:
    """Stream until standard input closes."""
    port, name = sys.argv[1:]
    board = bridge.connect(f"127.0.0.1:{port}", name, token=TOKEN, timeout=30)
    rng = np.random.default_rng(1)
    sent = lost = wrong = 0
    due = time.perf_counter()
    while not select.select([sys.stdin], [], [], 0)[0]:
        block = (0.1 * rng.standard_normal((1, FRAMES))).astype(np.float32)
        sent += 1
        try:
            out = board.process(block, RATE, buffer_size=FRAMES, reset=False)
        except BridgeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            lost += 1
            continue
        wrong += not np.isfinite(out).all()
        due = max(due + FRAMES / RATE, time.perf_counter() - 1)
        time.sleep(max(0.0, due - time.perf_counter()))
    trips = {key: 1000 * value for key, value in board.round_trip().items() if key != "count"}
    report = {"blocks": sent, "lost": lost, "wrong": wrong, "reconnects": board.reconnects, "round_trip_ms": trips}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
