"""Streams as one batch, and whole signals in overlapping pieces: the numbers of the streams one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from neural_fx.engines.pool import Pool, run_offline
from neural_fx.engines.torch import TorchEngine
from neural_fx.formats import parse
from neural_fx.formats.network import Network
from neural_fx.training.architectures import knobbed, pedal, untrained
from tests.conftest import DOCUMENTS, noise

NETWORKS = ["wavenet", "lstm", "convnet", "linear"]


def network(name: str) -> Network:
    return parse(json.dumps(DOCUMENTS[name]()).encode()).network


def alone(engine: TorchEngine, x: np.ndarray, prewarm: int) -> np.ndarray:
    stream = engine.stream(1)
    stream.reset(prewarm, np.zeros(x.shape[0] - 1, np.float32))
    return stream.process(x[None])[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_streams_join_and_leave(name: str) -> None:
    """Three streams of different lengths that begin and end at different times, each as if it were alone."""
    engine = TorchEngine(network(name))
    channels, frames, prewarm = engine.model.in_channels, 64, 200
    pool = Pool(engine, 3, frames)
    signals = [noise(channels * frames * n, seed=n).reshape(channels, -1) for n in (3, 5, 4, 6)]
    for x in signals:
        x[1:] = 0
    begins, found, places = [0, 1, 2, 3], [[] for _ in signals], {}  # type: ignore[var-annotated]
    for step in range(10):
        for i, begin in enumerate(begins):
            if step == begin:
                places[i] = pool.join(prewarm, np.zeros(channels - 1, np.float32))
            if i in places and len(found[i]) * frames == signals[i].shape[1]:
                pool.leave(places.pop(i))
        at = {i: len(found[i]) * frames for i in places}
        blocks = {place: signals[i][:, at[i] : at[i] + frames] for i, place in places.items()}
        if step == 4:
            blocks.pop(places[1])  # this one has nothing to say for once
        outputs: dict[int, np.ndarray] = {}
        for part in [{p: b} for p, b in blocks.items()] if step % 2 else [blocks]:  # one by one, or together
            outputs |= pool.process(part)
        for i, place in places.items():
            if place in outputs:
                found[i].append(outputs[place])
    for x, parts in zip(signals, found, strict=True):
        np.testing.assert_allclose(np.concatenate(parts, 1), alone(engine, x, prewarm), atol=1e-5)


def test_a_full_pool_says_so() -> None:
    pool = Pool(TorchEngine(untrained("a1-nano")), 1, 64)
    place = pool.join(0, np.zeros(0, np.float32))
    with pytest.raises(RuntimeError, match="all 1 places"):
        pool.join(0, np.zeros(0, np.float32))
    pool.leave(place)
    pool.leave(place)
    assert (len(pool), pool.join(0, np.zeros(0, np.float32)), len(pool)) == (0, place, 1)
    assert pool.process({}) == {}
    with pytest.raises(ValueError, match="fold"):
        Pool(TorchEngine(knobbed(pedal(2), 1)), 1, 64)


@pytest.mark.parametrize("samples", [100, 5000, 20000])
@pytest.mark.parametrize("name", ["a1-nano", "lstm", "a2-lite", "knobs"])
def test_pieces_equal_the_stream(name: str, samples: int) -> None:
    net = knobbed(pedal(3), 2) if name == "knobs" else untrained(name)
    engine = TorchEngine(net)
    x = np.zeros((net.in_channels, samples), np.float32)
    x[0] = noise(samples)
    controls = np.full(net.in_channels - 1, 0.3, np.float32)
    x[1:] = controls[:, None]
    stream = engine.stream(1)
    stream.reset(7000, controls)
    wanted = stream.process(x[None])[0]
    found = run_offline(engine, x, 7000, controls, segment=8192)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_recorded_graph_gives_the_same() -> None:
    engine = TorchEngine(untrained("a1-nano"), "cuda")
    pools = [Pool(engine, 4, 64, graph) for graph in (False, True)]
    places = [[pool.join(100, np.zeros(0, np.float32)) for _ in range(3)] for pool in pools]
    for step in range(5):
        x = noise(3 * 64, seed=step).reshape(3, 1, 64)
        outputs = [pool.process(dict(zip(p, x, strict=True))) for pool, p in zip(pools, places, strict=True)]
        for a, b in zip(outputs[0].values(), outputs[1].values(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
