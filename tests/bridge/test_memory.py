"""A worker gives memory back that nobody uses any more."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bridge import limits, memory

needs_glibc = pytest.mark.skipif(memory._library() is None, reason="the C library gives memory back by itself")

# Threads fill arenas of their own with blocks of many sizes, and free all but a few: what clients that come and go do.
FRAGMENTS = """
import ctypes, threading
from bridge import memory

memory.limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
kept = []

def work():
    blocks = [libc.malloc(64 + i % 3000) for i in range(20000)]
    for block in blocks:
        ctypes.memset(block, 1, 64)
    kept.append(blocks[-1])
    for block in blocks[:-1]:
        libc.free(block)

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
before = memory.resident()
memory.trim()
print(before, memory.resident())
"""


@needs_glibc
def test_a_trim_returns_what_was_freed() -> None:
    done = subprocess.run([sys.executable, "-c", FRAGMENTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before - 10 * 2**20


@needs_glibc
def test_the_trimmer_trims_after_growth_only(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 50 * 2**20
    monkeypatch.setattr(memory, "resident", lambda: size)
    monkeypatch.setattr(memory, "trim", lambda: True)
    trimmer = memory.Trimmer(pause=0.01)
    try:
        limit = time.monotonic() + 60
        while trimmer.trims < 1 and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.3)
        assert trimmer.trims == 1
        size += 2 * limits.MEMORY_GROWTH_BYTES
        while trimmer.trims < 2 and time.monotonic() < limit:
            time.sleep(0.01)
        assert trimmer.trims == 2
    finally:
        trimmer.close()
    assert not trimmer._thread.is_alive()
