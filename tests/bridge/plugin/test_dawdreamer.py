"""The plugins in DawDreamer, another host (it reads the latency, and does not make up for it)."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest

import instruments
from bridge.host import BoardHost
from bridge.stream_server import StreamServer
from tests.conftest import noise

dawdreamer = pytest.importorskip("dawdreamer", reason="DawDreamer is not installed (pip install 'neural-fx[hosts]')")

RATE = 48000


@pytest.mark.parametrize("block", [64, 512, 2048])
def test_the_effect(
    built: Path, server: StreamServer, boards: dict[str, BoardHost], monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setenv("NEURAL_FX_WORKER", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("NEURAL_FX_BOARD", "lead")
    audio = noise(RATE, 2).astype(np.float32)
    engine = dawdreamer.RenderEngine(RATE, block)
    plugin = engine.make_plugin_processor("fx", str(built / "NeuralFX.vst3"))
    engine.load_graph([(engine.make_playback_processor("in", audio), []), (plugin, ["in"])])
    engine.render(1.0)
    late = plugin.get_latency_samples()
    assert late == max(1024, block)
    wanted = boards["lead"].copy()(audio, RATE)[:, :-late]
    np.testing.assert_allclose(engine.get_audio()[:, late:RATE], wanted, atol=1e-6 * np.abs(wanted).max())


def test_the_instrument(built: Path, server: StreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURAL_FX_WORKER", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("NEURAL_FX_BOARD", "violin")
    engine = dawdreamer.RenderEngine(RATE, 512)
    plugin = engine.make_plugin_processor("solo", str(built / "NeuralInstrument.vst3"))
    plugin.add_midi_note(69, 90, 0.1, 0.3)
    engine.load_graph([(plugin, [])])
    engine.render(1.0)
    notes = [
        mido.Message("note_on", note=69, velocity=90, time=0.1),
        mido.Message("note_off", note=69, velocity=90, time=0.4),
    ]
    late = plugin.get_latency_samples()
    wanted = instruments.DDSP("violin")(notes, 1.0, RATE)[:, :-late]
    assert np.abs(wanted).max() > 0.05
    np.testing.assert_allclose(engine.get_audio()[:, late:RATE], wanted, atol=1e-6)
