from __future__ import annotations

import pytest

from neural_fx.engines import cpu
from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes
from neural_fx.networks.autoregressive.speed import playable_voices, realtime, untrained

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the kernels were not built")

SMALL = Description(WaveNetSizes(4, 8, (1, 2)))


def test_speed_falls_with_the_size() -> None:
    small = realtime(untrained(SMALL, 1), 1, seconds=0.02)
    assert small > 3 * realtime(untrained(Description(WaveNetSizes()), 1), 1, seconds=0.02)


def test_speed_falls_with_the_voices() -> None:
    generator = untrained(Description(RecurrentSizes()), 8)
    assert realtime(generator, 1, seconds=0.02) > 1.5 * realtime(generator, 8, seconds=0.02)


def test_some_voice_can_be_played() -> None:
    assert playable_voices(SMALL, most=3) == 3
    assert playable_voices(Description(WaveNetSizes(256, 256, (1, 2) * 10)), most=2) == 1


def test_bytes_are_those_that_a_sample_reads() -> None:
    sizes = WaveNetSizes()
    layers, width, skip = len(sizes.dilations), sizes.residual, sizes.skip
    phases = 2 * len(Description(sizes).inputs.harmonics)
    gates = layers * 2 * width * (2 * width + phases)
    weights = gates + (layers - 1) * width**2 + layers * skip * width + skip**2 + 256 * skip
    assert untrained(Description(sizes), 1).bytes_per_sample == 4 * weights


@pytest.mark.parametrize("size", [2**16, 2**20])
def test_a_core_reads_memory(size: int) -> None:
    assert cpu.core.read_peak(size) > 1
