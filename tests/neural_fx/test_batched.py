"""Streams as one batch, and whole signals in overlapping pieces: the numbers of the streams one by one."""

from __future__ import annotations

import gc
import itertools
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from neural_fx.blocks import FIRST_PLACES, OFFLINE
from neural_fx.engines import open_engine
from neural_fx.engines.batched import BatchedEngine, Pool, Scheduler, scheduler
from neural_fx.engines.batched.graph import chosen
from neural_fx.engines.torch import TorchEngine, use_float32_on_cuda
from neural_fx.formats import parse
from neural_fx.formats.digest import digest
from neural_fx.networks import Network
from neural_fx.training.architectures import knobbed, pedal, untrained
from tests.conftest import DOCUMENTS, noise, wavenet_document

DEVICE = os.environ.get("NEURAL_FX_TEST_DEVICE", "cpu")
"""Where the batches run; the numbers they are compared with come from the CPU."""

NETWORKS = ["wavenet", "lstm", "convnet", "linear", "knobs"]


def network(name: str) -> Network:
    if name != "knobs":
        return parse(json.dumps(DOCUMENTS[name]()).encode()).network
    net = knobbed(pedal(3), 2)
    rng = np.random.default_rng(5)
    for dense in net.dense:  # so that the knobs do something
        dense.weight[:] = 0.3 * rng.normal(size=dense.weight.shape)
        dense.bias[:] = 0.3 * rng.normal(size=dense.bias.shape)
    return net


def signal(net: Network, samples: int, seed: int = 0) -> np.ndarray:
    """(in_channels, samples): noise, and knobs that rest, turn, and rest again."""
    x = np.zeros((net.in_channels, samples), np.float32)
    x[0] = noise(samples, seed=seed)
    rng = np.random.default_rng(seed)
    for row in x[1:]:
        begin, end = rng.random(2)
        row[:] = np.interp(np.arange(samples), [samples // 3, samples // 2], [begin, end])
    return x


def alone(net: Network, x: np.ndarray, prewarm: int) -> np.ndarray:
    stream = TorchEngine(net).stream(1)
    stream.reset(prewarm, x[1:, 0].copy())
    return stream.process(x[None])[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_streams_join_and_leave(name: str) -> None:
    """Streams of different lengths that begin and end at different times, at knobs of their own, each as if alone."""
    net, frames, prewarm = network(name), 50, 200
    pool = Pool(TorchEngine(net, DEVICE))
    signals = [signal(net, frames * (3 + i % 5), i) for i in range(FIRST_PLACES + 4)]
    begins, found, places = [i % 4 for i in range(len(signals))], [[] for _ in signals], {}  # type: ignore[var-annotated]
    for step in range(13):
        for i, x in enumerate(signals):
            if step == begins[i]:
                places[i] = pool.join(prewarm, x[1:, 0])
            if i in places and len(found[i]) * frames == x.shape[1]:
                pool.leave(places.pop(i))
        at = {i: len(found[i]) * frames for i in places}
        blocks = {i: signals[i][:, at[i] : at[i] + frames] for i in places}
        if step == 4:
            blocks.pop(1)  # this one has nothing to say for once
        for part in [[i] for i in blocks] if step % 2 else [list(blocks)]:  # one by one, or together
            if part:
                y = pool.run([places[i] for i in part], np.stack([blocks[i] for i in part]))
                for i, out in zip(part, y, strict=True):
                    found[i].append(out)
    assert (len(pool), pool.places) == (0, 2 * FIRST_PLACES)
    for x, parts in zip(signals, found, strict=True):
        wanted = alone(net, x, prewarm)
        assert np.abs(np.concatenate(parts, 1) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_places_are_given_once() -> None:
    pool = Pool(TorchEngine(untrained("a1-nano"), DEVICE))
    none = np.zeros(0, np.float32)
    places = [pool.join(0, none) for _ in range(3)]
    assert len(set(places)) == len(pool) == 3
    pool.leave(places[1])
    pool.leave(places[1])
    assert len(pool) == 2
    assert pool.join(0, none) == places[1]


@pytest.mark.parametrize("samples", [100, 5000, 20000])
@pytest.mark.parametrize("name", ["a1-nano", "lstm", "a2-lite", "knobs"])
def test_pieces_equal_the_stream(name: str, samples: int) -> None:
    """Two long blocks, one after the other, and a short one: cut up or not, the stream goes on."""
    net = network("knobs") if name == "knobs" else untrained(name)
    engine = TorchEngine(net, DEVICE)
    x = np.stack([signal(net, 2 * samples + 700, seed) for seed in (0, 1)])
    controls = x[0, 1:, 0].copy()
    x[:, 1:] = controls[:, None]
    stream = TorchEngine(net).stream(2)
    stream.reset(7000, controls)
    wanted = stream.process(x)
    state = [s.expand(2, *s.shape[1:]).contiguous() for s in engine.warm_state(7000, controls)]
    parts = []
    for part in (x[:, :, :samples], x[:, :, samples : 2 * samples], x[:, :, 2 * samples :]):
        y, state = engine.long_run(state, part, segment=8192)
        parts.append(y)
    assert np.abs(np.concatenate(parts, 2) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_stream_may_go_from_short_blocks_to_long_ones_and_back() -> None:
    net = untrained("a1-nano")
    x = signal(net, 5 * OFFLINE)
    stream = BatchedEngine(net, DEVICE).stream(1)
    stream.reset(300, np.zeros(0, np.float32))
    cuts = [0, 100, 100 + 2 * OFFLINE, 1000 + 2 * OFFLINE, 5 * OFFLINE]
    found = [stream.process(x[None, :, a:b])[0] for a, b in itertools.pairwise(cuts)]
    wanted = alone(net, x, 300)
    assert np.abs(np.concatenate(found, 1) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_tracks_are_played_together() -> None:
    """Eight threads with a stream each, of two networks: few batches, and everyone's own samples."""
    nets = [untrained("a1-nano"), network("knobs")]
    frames, blocks, tracks = 256, 12, 8
    signals = [signal(nets[i % 2], frames * blocks, i) for i in range(tracks)]
    clock = scheduler(DEVICE)
    engines = [BatchedEngine(net, DEVICE, rate=100.0) for net in nets]  # blocks of 2.6 s: all are waited for
    before = clock.batches, clock.blocks
    ready = threading.Barrier(tracks)

    def play(i: int) -> np.ndarray:
        stream = engines[i % 2].stream(1)
        stream.reset(200, signals[i][1:, 0])
        ready.wait()
        return np.concatenate([stream.process(b[None])[0] for b in np.split(signals[i], blocks, axis=1)], 1)

    with ThreadPoolExecutor(tracks) as threads:
        found = list(threads.map(play, range(tracks)))
    for i, (x, y) in enumerate(zip(signals, found, strict=True)):
        wanted = alone(nets[i % 2], x, 200)
        assert np.abs(y - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert clock.blocks - before[1] == blocks * tracks
    assert clock.batches - before[0] < blocks * tracks / 2


def test_who_stops_playing_is_not_waited_for() -> None:
    clock = Scheduler(DEVICE)
    net = untrained("a1-nano")
    engine = BatchedEngine(net, DEVICE, rate=10.0)
    engine.scheduler, engine.pool = clock, clock.pool(net)
    first, second = engine.stream(1), engine.stream(1)
    for stream in (first, second):
        stream.reset(0, np.zeros(0, np.float32))
    block = np.zeros((1, 1, 64), np.float32)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda s: s.process(block), (first, second)))
    del second, stream, threads
    gc.collect()
    began = clock.clock()
    first.process(block)
    assert clock.clock() - began < 1.5  # a block lasts 6.4 s here; half of that would have been waited
    assert len(engine.pool) == 1


def test_a_failing_device_is_told_to_those_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    net, other = untrained("a1-nano"), untrained("a1-feather")
    streams = [BatchedEngine(n, DEVICE).stream(1) for n in (net, other)]
    for stream in streams:
        stream.reset(0, np.zeros(0, np.float32))
    block = np.zeros((1, 1, 64), np.float32)

    def broken(places: object, x: object) -> np.ndarray:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(streams[0].pool, "run", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        streams[0].process(block)
    assert streams[1].process(block).shape == (1, 1, 64)


def test_equal_networks_share_a_pool() -> None:
    again = parse(json.dumps(DOCUMENTS["wavenet"]()).encode()).network
    assert BatchedEngine(network("wavenet"), DEVICE).pool is BatchedEngine(again, DEVICE).pool
    names = ["wavenet", "lstm", "convnet", "linear"]
    assert len({digest(network(name)) for name in names}) == len(names)
    assert digest(untrained("a1-nano")) != digest(untrained("a1-lite"))
    sloped = []
    for slope in (0.01, 0.2):
        document = wavenet_document()
        document["config"]["layers"][0]["activation"] = {"type": "LeakyReLU", "negative_slope": slope}
        sloped.append(parse(json.dumps(document).encode()).network)
    assert digest(sloped[0]) != digest(sloped[1])


def test_devices() -> None:
    assert isinstance(open_engine(untrained("a1-nano"), "batched"), BatchedEngine)
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError)):
            open_engine(untrained("a1-nano"), "cuda")


def test_cuda_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default cuDNN would round the inputs of convolutions and recurrent layers to TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    if torch.cuda.is_available():
        TorchEngine(untrained("a1-nano"), "cuda")
    else:
        use_float32_on_cuda()
    assert not torch.backends.cudnn.allow_tf32


def test_streams_with_different_knobs_start_at_once() -> None:
    """The engine keeps the last state after silence. Threads must not get each other's."""
    engine = TorchEngine(network("knobs"))
    count = engine.model.in_channels - 1
    knobs = [np.full(count, value, np.float32) for value in (0.2, 0.8)]
    wanted = [[s.clone() for s in engine.warm_state(8, values)] for values in knobs]

    def start(i: int) -> bool:
        found = engine.warm_state(8, knobs[i % 2])
        return all(torch.equal(a, b) for a, b in zip(found, wanted[i % 2], strict=True))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(start, range(400)))


def test_a_graph_keeps_the_state_of_places_without_a_block() -> None:
    old, new = torch.zeros(4, 2, 3), torch.ones(4, 2, 3)
    found = chosen(torch.tensor([True, False, False, True]), new, old)
    assert found[:, 0, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["wavenet", "knobs"])
def test_a_recorded_graph_gives_the_same(name: str) -> None:
    net = network(name)
    engine = TorchEngine(net, "cuda")
    pools = [Pool(engine, graph) for graph in (False, True)]
    signals = [signal(net, 64 * 9, seed) for seed in range(6)]
    places = [[pool.join(100, x[1:, 0]) for x in signals] for pool in pools]
    for step in range(9):
        x = np.stack([s[:, 64 * step : 64 * step + 64] for s in signals])
        outputs = [pool.run(p, x) for pool, p in zip(pools, places, strict=True)]
        np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)
