"""The bundled pedals with knobs against the circuits they were made from, and as plain captures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import neural_fx
from neural_fx.audio import read_audio
from neural_fx.errors import ParameterError
from neural_fx.networks import Knobbed
from neural_fx.pedals import DATA, PEDALS, Pedal, TubeScreamer
from neural_fx.snapshot import snapshot
from neural_fx.training.circuits import CIRCUITS, simulate
from tests.conftest import esr, noise

KNOBBED = [kind for kind in PEDALS.values() if kind.card()["knobs"]]


@pytest.mark.parametrize("kind", KNOBBED, ids=lambda kind: kind.SLUG)
@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_pedals_sound_as_their_circuits(kind: type[Pedal], shared: Path) -> None:
    """A guitar never trained on, two positions: no worse than the worst that the card tells."""
    guitar = read_audio(shared / "audio/di/pop-punk-guitar.flac")[0][0, 400000:450000]
    circuit = CIRCUITS[kind.SLUG]
    first, second, output = (knob.name for knob in circuit.knobs)
    for turns in ({first: 0.31, second: 0.72, output: 0.4}, {first: 0.85, second: 0.35, output: 0.9}):
        wet = simulate(circuit, guitar, 48000, turns)
        settled = slice(20000, None)
        assert esr(wet[settled], kind(**turns)(guitar, 48000)[settled]) <= 1.5 * kind.card()["esr"]["worst"]


@pytest.mark.parametrize("kind", KNOBBED, ids=lambda kind: kind.SLUG)
def test_pedals_are_small_and_export_exactly(kind: type[Pedal], tmp_path: Path) -> None:
    assert (DATA / kind.FILE).stat().st_size < 2e6
    capture = kind.file()
    assert isinstance(capture.network, Knobbed)
    turns = {name: 0.2 + 0.2 * i for i, name in enumerate(capture.knobs)}
    (tmp_path / "snapshot.nam").write_bytes(snapshot(capture, turns))
    x = 0.3 * noise(24000)
    assert esr(kind(**turns)(x, 48000), neural_fx.load(tmp_path / "snapshot.nam")(x, 48000)) < 1e-9


def test_knobs_are_attributes() -> None:
    pedal = TubeScreamer(drive=0.6, tone=0.4, level=0.7)
    assert (pedal.drive, pedal.tone, pedal.level) == (0.6, 0.4, 0.7)
    with pytest.raises(ParameterError, match="range 0 to 1"):
        pedal.drive = 1.1
    with pytest.raises(ParameterError, match="drive, tone, level"):
        pedal.gain = 0.5
    x = 0.2 * noise(4800)
    loud = pedal(x, 48000)
    pedal.level = 0.35
    np.testing.assert_allclose(pedal(x, 48000), loud * pedal_gain(0.35) / pedal_gain(0.7), rtol=1e-3, atol=1e-5)
    assert TubeScreamer(level="normalized").output_level == "normalized"


def pedal_gain(turn: float) -> float:
    network = TubeScreamer.file().network
    assert isinstance(network, Knobbed)
    gains = network.levels[0].gains
    return float(np.interp(turn, np.linspace(0, 1, len(gains)), gains))
