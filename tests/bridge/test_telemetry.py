"""Snapshots of streams: two observers, and none takes anything from the other."""

from __future__ import annotations

import gc

import numpy as np
import pedalboard
import pytest

from bridge import limits
from bridge.host import BoardHost, BoardStream, Observer
from bridge.host.telemetry import Peaks
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec


@pytest.fixture
def host() -> BoardHost:
    return BoardHost("lead", lambda: Pedalboard([pedalboard.Gain(-6.0206)]))


def play(stream: BoardStream, level: float) -> None:
    stream.process(np.full((1, 64), level, np.float32))


def test_two_observers_see_the_same_peaks(host: BoardHost) -> None:
    stream = host.open(Spec(48000, 1, 64))
    fast, slow = Observer(), Observer()
    for level in (0.0, 0.0, 0.5):
        play(stream, level)
    assert host.telemetry(fast).peaks == pytest.approx((0.5, 0.25), rel=1e-4)
    play(stream, 0.125)
    assert host.telemetry(fast).peaks[0] == 0.125, "only what is new"
    assert host.telemetry(fast).peaks == (0.0, 0.0), "nothing is new"
    assert host.telemetry(slow).peaks[0] == 0.5, "another observer's reading has taken nothing"
    assert host.telemetry().peaks[0] == 0.5, "without an observer: the latest blocks"


def test_a_snapshot_adds_up_the_streams_of_a_board(host: BoardHost) -> None:
    observer = Observer()
    assert host.telemetry(observer).streams == 0
    first, second = host.open(Spec(48000, 1, 64)), host.open(Spec(44100, 1, 64))
    play(first, 0.25)
    play(first, 0.25)
    play(second, 0.5)
    found = host.telemetry(observer)
    assert (found.streams, found.blocks, found.muted, found.peaks[0]) == (2, 3, 0, 0.5)
    assert found.load == first.load + second.load
    with pytest.raises(AttributeError):
        found.blocks = 0  # type: ignore[misc]


def test_an_observer_keeps_no_stream_alive(host: BoardHost) -> None:
    observer = Observer()
    stream = host.open(Spec(48000, 1, 64))
    host.telemetry(observer)
    assert len(observer._markers) == 1
    host.close(stream)
    del stream
    gc.collect()
    assert not observer._markers


def test_peaks_are_those_of_the_latest_blocks() -> None:
    peaks = Peaks()
    peaks.add(1.0, 1.0)
    for _ in range(limits.TELEMETRY_BLOCKS):
        peaks.add(0.5, 0.25)
    assert peaks.since(0) == (0.5, 0.25)
    assert peaks.since(peaks.count) == (0.0, 0.0)
    assert peaks.since(peaks.count + 5) == (0.0, 0.0)
