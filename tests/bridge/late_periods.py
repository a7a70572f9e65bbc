"""Count the periods that a board on JACK answers late, beside threads that keep Python's interpreter busy.

    python -m tests.bridge.late_periods [BOARD] [--periods 5625] [--frames 256] [--busy 1]

BOARD is a board file or a capture; without one the board is empty. The command starts a `jackd` of its own. The figures
depend on the machine and its load, so tests print them or compare two of them, and expect no fixed number.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.host import BoardHost, board_from
from bridge.live.board import LiveBoard
from neural_fx.pedalboard import Pedalboard
from tests.bridge.jack_servers import jack_server

SWITCH_INTERVAL = 0.0001
"""Seconds, as in the worker."""


@dataclass(frozen=True)
class Late:
    """What a run counted.

    Attributes:
        periods: that the server asked for.
        dropouts: of these, the ones whose audio came back late.
        xruns: that the server reported.
    """

    periods: int
    dropouts: int
    xruns: int

    def __str__(self) -> str:
        return f"{self.dropouts} of {self.periods} periods late, {self.xruns} xruns"


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
        before = _counts_after(board, warm)
        with busy_interpreter(busy):
            after = _counts_after(board, before["periods"] + periods)
    finally:
        board.close()
    return Late(**{name: after[name] - before[name] for name in ("periods", "dropouts", "xruns")})


def _counts_after(board: LiveBoard, periods: int) -> dict[str, int]:
    """Wait for a count of periods, and return all counts."""
    while (counts := board.io.counters.read())["periods"] < periods:
        board.status()  # raises if the board is not connected
        time.sleep(0.05)
    return counts


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", nargs="?", type=Path)
    parser.add_argument("--periods", type=int, default=5625)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--busy", type=int, default=1)
    options = parser.parse_args()
    make = Pedalboard if options.board is None else board_from(options.board)
    name = f"nfx-late-{os.getpid()}"
    with jack_server(name, frames=options.frames):
        print(late_periods(name, make, options.periods, options.busy))


if __name__ == "__main__":
    main()
