"""A worker's streams on a device where they run as batches: the same samples, whoever plays along."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.host import BoardHost, board_from
from bridge.stream_server import StreamServer
from neural_fx.engines.batched import scheduler
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import TubeScreamer
from neural_fx.placement import DeviceError, LivePlacement, captures
from neural_fx.processor import Spec
from tests.bridge.test_cli import spawn
from tests.conftest import noise, wavenet_document

RATE = 48000
DEVICE = os.environ.get("NEURAL_FX_TEST_DEVICE", "cpu")
"""Where the batches run; the numbers they are compared with come from the CPU."""
PLACE = "batched" if DEVICE == "cpu" else DEVICE
"""How a worker is told."""


@pytest.fixture
def hosts(write: Callable[..., Path]) -> dict[str, BoardHost]:
    placement, model = LivePlacement(PLACE), write(wavenet_document())
    return {
        "amp": BoardHost("amp", board_from(model), placement=placement),
        "pedal": BoardHost("pedal", lambda: Pedalboard([TubeScreamer(drive=0.7)]), placement=placement),
    }


@pytest.fixture
def worker(hosts: dict[str, BoardHost]) -> Iterator[StreamServer]:
    server = StreamServer(hosts)
    yield server
    server.close()


def test_streams_in_batches_are_the_boards(worker: StreamServer, hosts: dict[str, BoardHost]) -> None:
    """Four clients with two boards and different blocks at once; one of them turns a knob of its own."""
    before = scheduler(DEVICE).blocks

    def play(index: int) -> tuple[np.ndarray, np.ndarray]:
        name, block = ("amp", "pedal")[index % 2], (256, 256, 100, 1000)[index]
        x = noise(12000, seed=index)[None]
        remote = bridge.connect(f"127.0.0.1:{worker.port}", name)
        if index == 3:
            remote.tube_screamer_drive = 0.2  # type: ignore[attr-defined]
        parts = [remote.process(x[:, i : i + block], RATE, block, reset=False) for i in range(0, 12000, block)]
        remote.close()
        board = hosts[name].copy()
        assert [capture.device for capture in captures(board)] == ["auto"]
        if index == 3:
            board[0].drive = 0.2
        return np.concatenate(parts, 1), board(x, RATE)

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(play, range(4)))
    assert scheduler(DEVICE).blocks > before + 40
    for index, (found, wanted) in enumerate(results):
        settled = slice(8000 if index == 3 else 0, found.shape[1])  # it glides, and is remembered for a while
        wanted = wanted[:, : found.shape[1]]
        assert np.abs(found - wanted)[:, settled].max() <= 1e-5 * np.abs(wanted).max()


def test_a_board_that_is_changed_stays_on_its_device(hosts: dict[str, BoardHost]) -> None:
    host = hosts["pedal"]
    stream = host.open(Spec(RATE, 1, 256))
    host.load(lambda: Pedalboard([TubeScreamer(drive=0.1)]))
    out = np.concatenate([stream.process(noise(256, seed=i)[None]) for i in range(300)], 1)
    assert [capture.device for capture in captures(stream.voice.board)] == [PLACE]
    assert np.abs(out).max() > 0
    host.close(stream)


def test_without_a_placement_a_board_stays_where_it_is() -> None:
    host = BoardHost("pedal", lambda: Pedalboard([TubeScreamer(device="torch")]))
    stream = host.open(Spec(RATE, 1, 256))
    assert [capture.device for capture in captures(stream.voice.board)] == ["torch"]
    host.close(stream)


def test_serve_says_that_a_device_is_missing() -> None:
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        LivePlacement("gpu")
    process = spawn("serve", "--device", "gpu")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "unknown device 'gpu'; known: auto, cpu" in err
