"""Count the periods that a board on JACK answers late, beside threads that keep Python's interpreter busy.

    python -m tests.bridge.late_periods [BOARD] [--periods 5625] [--frames 256] [--busy 1]

BOARD is a board file or a capture; without one the board is empty. The command starts a `jackd` of its own. The figures
depend on the machine and its load, so tests print them or compare two of them, and expect no fixed number.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.host import BoardHost, board_from
from bridge.live.board import LiveBoard
from neural_fx.pedalboard import Pedalboard

SWITCH_INTERVAL = 0.0001
"""Seconds, as in the worker."""


@dataclass(frozen=True)
class Late:
    """What a run counted.

    Attributes:
        periods: that went through the board.
        dropouts: of these, the ones whose audio came back late.
        xruns: that the server reported.
    """

    periods: int
    dropouts: int
    xruns: int

    def __str__(self) -> str:
        return f"{self.dropouts} of {self.periods} periods late, {self.xruns} xruns"


@contextlib.contextmanager
def jack_server(frames: int = 256, rate: int = 48000, name: str = "") -> Iterator[str]:
    """Run a JACK server without hardware, and yield its name."""
    name = name or f"neural-fx-late-{os.getpid()}"
    command = ["jackd", "-n", name, "--no-realtime", "-d", "dummy", "-r", str(rate), "-p", str(frames)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        yield name
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def busy_interpreter(threads: int = 1) -> Iterator[None]:
    """Run threads of pure Python that never rest."""
    ended = threading.Event()

    def work() -> None:
        count = 0
        while not ended.is_set():
            count += 1

    switch = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()
        sys.setswitchinterval(switch)


def late_periods(server: str, make: Callable[[], Pedalboard], periods: int, busy: int = 1, warm: int = 200) -> Late:
    """Play a board on a JACK server and count its late periods.

    Args:
        server: its name.
        make: builds the board.
        periods: to wait for.
        busy: threads that keep the interpreter busy meanwhile.
        warm: periods to play before counting starts.
    """
    board = LiveBoard(BoardHost("late", make), "jack", 1, server)
    try:
        _wait_for(board, warm)
        before, start = board.status(), board.stream.blocks
        with busy_interpreter(busy):
            _wait_for(board, start + periods)
            after, end = board.status(), board.stream.blocks
    finally:
        board.close()
    return Late(end - start, after["dropouts"] - before["dropouts"], after["xruns"] - before["xruns"])


def _wait_for(board: LiveBoard, blocks: int) -> None:
    while board.stream.blocks < blocks:
        board.status()  # raises if the board is not connected
        time.sleep(0.05)


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", nargs="?", type=Path)
    parser.add_argument("--periods", type=int, default=5625)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--busy", type=int, default=1)
    options = parser.parse_args()
    make = Pedalboard if options.board is None else board_from(options.board)
    with jack_server(options.frames) as server:
        print(late_periods(server, make, options.periods, options.busy))


if __name__ == "__main__":
    main()
