"""Measure live streams: how long a block takes while streams play at the pace of real time, join and leave."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from demos.gpu.context import FRAMES, PERIOD, RATE, Context, Subject, guitar, inputs, percentiles, subjects
from neural_fx.engines.batched import FIRST_PLACES, BatchedEngine, Pool
from neural_fx.engines.torch import TorchEngine

NAMES = ("A1 standard", "A2 full")
CHANGE_SECONDS = 0.05
"""How often a stream leaves and another takes its turn."""
SECONDS = 6.0
"""Of playing per line of the table: 1,125 blocks."""


def measure(context: Context) -> None:
    """Record percentiles of a block for numbers of streams, CUDA graphs on and off, then for a thread per stream."""
    found = subjects(context.gathered)
    counts = (3,) if context.short else (256, 16, 64, 512)
    seconds = 0.1 if context.short else SECONDS
    gc.disable()  # a collection in the middle of a block would be measured as the engine's
    for count, name in itertools.product(counts, NAMES):
        for graphs in (True, False) if context.cuda else (False,):
            values = {"name": name, "streams": count, "graphs": graphs, "way": "one batch"}
            if not context.skip(seconds + 3, **values):
                in_one_batch(context, found[name], count, graphs, seconds)
    for count in (3,) if context.short else (16, 64, 256):
        values = {"name": NAMES[0], "streams": count, "way": "a thread per stream"}
        if not context.skip(seconds + 5, **values):
            in_threads(context, found[NAMES[0]], count, seconds)
    gc.enable()


def in_one_batch(context: Context, item: Subject, count: int, graphs: bool, seconds: float) -> None:
    """Record how long `Pool.run` takes for the blocks of all streams, from when they are due to their samples.

    A second thread lets streams leave and join meanwhile. Before that, the pool grows from its first size while the
    streams that are already there play: `growing_max_ms` is the longest block of that time.
    """
    pool = Pool(TorchEngine(item.network, context.device), graphs)
    x = inputs(item, guitar(context.gathered, 8 * FRAMES), count)
    players = _Players(pool, item)
    growing: list[float] = []
    for index in range(count):
        players.join()
        if index % FIRST_PLACES == 0:
            began = time.perf_counter()
            pool.run(players.places, x[: index + 1, :, :FRAMES])
            growing.append(time.perf_counter() - began)
    for _ in range(10):
        pool.run(players.places, x[:, :, :FRAMES])
    taken: list[float] = []
    with players.changing():
        start = time.perf_counter() + PERIOD
        for block in range(round(seconds / PERIOD)):
            at = block % 8 * FRAMES
            due = start + block * PERIOD
            time.sleep(max(0.0, due - time.perf_counter()))
            with players.lock:
                pool.run(players.places, x[:, :, at : at + FRAMES])
            taken.append(time.perf_counter() - due)
    context.emit(
        name=item.name,
        streams=count,
        graphs=graphs,
        way="one batch",
        blocks=len(taken),
        **percentiles(taken),
        late=sum(took > PERIOD for took in taken),
        changes=players.changes,
        growing_max_ms=round(1e3 * max(growing), 3),
    )


@dataclass
class _Players:
    """Streams of a pool, of which one after the other leaves and is followed by a new one."""

    pool: Pool
    item: Subject
    places: list[int] = field(default_factory=list)
    changes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> None:
        self.places.append(self.pool.join(self.item.prewarm, self.item.controls))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let streams leave and join, from another thread, within a `with` block."""
        stop = threading.Event()
        thread = threading.Thread(target=self._change, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _change(self, stop: threading.Event) -> None:
        while not stop.wait(CHANGE_SECONDS):
            index = self.changes % len(self.places)
            with self.lock:  # leaves first, so that the pool never grows
                self.pool.leave(self.places[index])
                self.places[index] = self.pool.join(self.item.prewarm, self.item.controls)
            self.changes += 1


def in_threads(context: Context, item: Subject, count: int, seconds: float) -> None:
    """Record how long a block takes for streams with a thread each, as in a worker, through the scheduler.

    Every stream ends once in the middle and begins anew. The time counts from when a block is due.
    """
    engine = BatchedEngine(item.network, context.device, RATE)
    engine.stream(1).reset(item.prewarm, item.controls)
    x = inputs(item, guitar(context.gathered, 8 * FRAMES), 1)
    blocks = round(seconds / PERIOD)
    taken: list[list[float]] = [[] for _ in range(count)]
    problems: list[str] = []
    ready = threading.Barrier(count + 1)
    start = [0.0]

    def play(index: int) -> None:
        stream = engine.stream(1)
        stream.reset(item.prewarm, item.controls)
        stream.process(x[:, :, :FRAMES])
        ready.wait()
        ready.wait()
        for block in range(blocks):
            if block == blocks * (index + 1) // (count + 1):
                stream = engine.stream(1)
                stream.reset(item.prewarm, item.controls)
            at = block % 8 * FRAMES
            due = start[0] + block * PERIOD
            time.sleep(max(0.0, due - time.perf_counter()))
            stream.process(x[:, :, at : at + FRAMES])
            taken[index].append(time.perf_counter() - due)

    def guarded(index: int) -> None:
        try:
            play(index)
        except Exception as error:  # the device's, to be recorded; the others go on
            problems.append(str(error).splitlines()[0])
            ready.abort()

    threads = [threading.Thread(target=guarded, args=(index,), daemon=True) for index in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        before = engine.scheduler.batches, engine.scheduler.blocks
        start[0] = time.perf_counter() + 0.05
        ready.wait()
    except threading.BrokenBarrierError:
        pass
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    values = {"name": item.name, "streams": count, "way": "a thread per stream"}
    if problems:
        context.emit(**values, error=problems[0])
        return
    every = [took for times in taken for took in times]
    batches = engine.scheduler.batches - before[0]
    context.emit(
        **values,
        blocks=len(every),
        **percentiles(every),
        late=sum(took > PERIOD for took in every),
        blocks_per_batch=round((engine.scheduler.blocks - before[1]) / max(1, batches), 1),
    )
