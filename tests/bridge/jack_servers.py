"""JACK servers without hardware, for tests and measurements.

A server must not have the name of a client: JACK makes a file of both.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

LIMIT = 60
"""Seconds for a server to start; long, because machines may be slow."""


@contextlib.contextmanager
def jack_server(name: str, *options: str, rate: int = 48000, frames: int = 256) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that accepts clients, and yield its process."""
    command = ["jackd", "-n", name, "--no-realtime", *options, "-d", "dummy", "-r", str(rate), "-p", str(frames)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + LIMIT
        while not _answers(name):
            assert process.poll() is None, "jackd ended"
            assert time.monotonic() < end, "jackd does not answer"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(name: str) -> bool:
    import jack

    jack.set_error_function(lambda message: None)
    try:
        jack.Client("nfx-ask", no_start_server=True, servername=name).close()
    except jack.JackOpenError:
        return False
    return True
