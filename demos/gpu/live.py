"""Measure how long a block takes while streams play in real time, join and leave."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from demos.gpu.context import FRAMES, PERIOD, RATE, Context, Subject, guitar, inputs, percentiles, subjects
from neural_fx.blocks import FIRST_PLACES
from neural_fx.engines.batched import BatchedEngine, BatchedStream, Pool
from neural_fx.engines.torch import TorchEngine

NAMES = ("A1 standard", "A2 full")
CHANGE_SECONDS = 0.05
"""Seconds after which a stream leaves and another one joins."""
PARTLY_FULL = 300
"""Streams in a pool for 512. A CUDA graph steps all places, and unused ones are restored."""
LATE_SHARE = 1.5
"""Share of the expected time after which the measurement of a slow device stops."""
SECONDS = 5.5
"""Seconds of playing per line of the table: 1,031 blocks."""


def measure(context: Context) -> None:
    """Record percentiles of a block for numbers of streams, CUDA graphs on and off, then for a thread per stream."""
    found = subjects(context.gathered)
    counts = (3,) if context.short else (256, 16, 64, 512, PARTLY_FULL)
    seconds = 0.1 if context.short else SECONDS
    gc.disable()  # a collection within a block would be measured as the engine's time
    for count, name in itertools.product(counts, NAMES):
        for graphs in (True, False) if context.cuda and count != PARTLY_FULL else (context.cuda,):
            values = {"name": name, "streams": count, "graphs": graphs, "way": "one batch"}
            if not context.skip(LATE_SHARE * seconds + 3, **values):
                in_one_batch(context, found[name], count, graphs, seconds)
    for count in (3,) if context.short else (16, 64, 256):
        values = {"name": NAMES[0], "streams": count, "way": "a thread per stream"}
        if not context.skip(2 * LATE_SHARE * seconds, **values):
            in_threads(context, found[NAMES[0]], count, seconds)
    gc.enable()


def in_one_batch(context: Context, item: Subject, count: int, graphs: bool, seconds: float) -> None:
    """Record how long `Pool.run` takes for the blocks of all streams, from their due time to their samples.

    Meanwhile, streams leave and join in another thread. Before that, the pool grows from its first size while the first
    streams already play. `growing_max_ms` is the longest block of that time.

    Args:
        context: the running part.
        item: the network.
        count: number of streams.
        graphs: use CUDA graphs.
        seconds: duration.
    """
    pool = Pool(TorchEngine(item.network, context.device), graphs)
    x = inputs(item, guitar(context.gathered, 8 * FRAMES), count)
    streams = _ChangingStreams(pool, item)
    growing: list[float] = []
    for index in range(count):
        streams.join()
        if index % FIRST_PLACES == 0:
            began = time.perf_counter()
            pool.run(streams.places, x[: index + 1, :, :FRAMES])
            growing.append(time.perf_counter() - began)
    for _ in range(10):
        pool.run(streams.places, x[:, :, :FRAMES])
    taken: list[float] = []
    steps: list[float] = []
    with streams.changing():
        start = time.perf_counter() + PERIOD
        for block in range(round(seconds / PERIOD)):
            at = block % 8 * FRAMES
            due = start + block * PERIOD
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            with streams.lock:
                pool.run(streams.places, x[:, :, at : at + FRAMES])
            taken.append(time.perf_counter() - due)
            steps.append(time.perf_counter() - began)
            if time.perf_counter() - start > LATE_SHARE * seconds:
                break
    context.emit(
        name=item.name,
        streams=count,
        graphs=graphs,
        way="one batch",
        blocks=len(taken),
        **percentiles(taken),
        step_p50_ms=percentiles(steps)["p50_ms"],
        late=sum(took > PERIOD for took in taken),
        changes=streams.changes,
        growing_max_ms=round(1e3 * max(growing), 3),
    )


@dataclass
class _ChangingStreams:
    """Streams of a pool, which are replaced by new ones one after the other."""

    pool: Pool
    item: Subject
    places: list[int] = field(default_factory=list)
    changes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self) -> None:
        self.places.append(self.pool.join(self.item.prewarm, self.item.controls))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Replace streams in another thread while the block runs."""
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
            with self.lock:  # the old stream leaves first, so that the pool never grows
                self.pool.leave(self.places[index])
                self.places[index] = self.pool.join(self.item.prewarm, self.item.controls)
            self.changes += 1


def in_threads(context: Context, item: Subject, count: int, seconds: float) -> None:
    """Record how long a block takes for streams with a thread each, through the scheduler, as in a worker.

    Args:
        context: the running part.
        item: the network.
        count: number of streams.
        seconds: duration.
    """
    engine = BatchedEngine(item.network, context.device, RATE)
    group = _StreamThreads(engine, item, guitar(context.gathered, 8 * FRAMES), count, round(seconds / PERIOD))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    batches, blocks = group.play()
    sys.setswitchinterval(interval)
    values = {"name": item.name, "streams": count, "way": "a thread per stream"}
    if group.problems:
        context.emit(**values, error=group.problems[0])
        return
    taken = [took for times in group.taken for took in times]
    context.emit(
        **values,
        blocks=len(taken),
        **percentiles(taken),
        late=sum(took > PERIOD for took in taken),
        blocks_per_batch=round(blocks / max(1, batches), 1),
    )


class _StreamThreads:
    """Streams of one engine, each in a thread of its own. Each stream is replaced by a new one once.

    Attributes:
        taken: seconds of every block of every stream, from its due time.
        problems: error messages.
    """

    def __init__(
        self, engine: BatchedEngine, item: Subject, audio: NDArray[np.float32], count: int, blocks: int
    ) -> None:
        self.engine = engine
        self.item = item
        self.x = inputs(item, audio, 1)
        self.blocks = blocks
        self.taken: list[list[float]] = [[] for _ in range(count)]
        self.problems: list[str] = []
        self.ready = threading.Barrier(count + 1)
        self.start = 0.0

    def play(self) -> tuple[int, int]:
        """Play all streams to their end, and return the numbers of batches and blocks of the scheduler."""
        indices = range(len(self.taken))
        threads = [threading.Thread(target=self._guarded, args=(index,), daemon=True) for index in indices]
        for thread in threads:
            thread.start()
        scheduler = self.engine.scheduler
        batches, blocks = 0, 0
        with suppress(threading.BrokenBarrierError):
            self.ready.wait()
            batches, blocks = scheduler.batches, scheduler.blocks
            self.start = time.perf_counter() + 0.05
            self.ready.wait()
        for thread in threads:
            thread.join()
        return scheduler.batches - batches, scheduler.blocks - blocks

    def _guarded(self, index: int) -> None:
        try:
            self._play(index)
        except threading.BrokenBarrierError:
            pass  # another stream failed
        except Exception as error:  # an error of the device; it is recorded, and the other streams end
            self.problems.append((str(error) or repr(error)).splitlines()[0])
            self.ready.abort()

    def _play(self, index: int) -> None:
        stream = self._fresh()
        stream.process(self.x[:, :, :FRAMES])
        self.ready.wait()
        self.ready.wait()
        ends = self.blocks * (index + 1) // (len(self.taken) + 1)
        for block in range(self.blocks):
            if block == ends:
                stream = self._fresh()
            at = block % 8 * FRAMES
            due = self.start + block * PERIOD
            time.sleep(max(0.0, due - time.perf_counter()))
            stream.process(self.x[:, :, at : at + FRAMES])
            now = time.perf_counter()
            self.taken[index].append(now - due)
            if now - self.start > LATE_SHARE * self.blocks * PERIOD:
                break

    def _fresh(self) -> BatchedStream:
        stream = self.engine.stream(1)
        stream.reset(self.item.prewarm, self.item.controls)
        return stream
