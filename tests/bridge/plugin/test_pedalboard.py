"""The plugins in pedalboard: what they play is what the worker's board gives, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mido
import numpy as np
import pedalboard
import pytest

import instruments
import neural_fx
from bridge.host import BoardHost
from bridge.stream_server import StreamServer
from neural_fx.processor import Spec
from tests.bridge.plugin.conftest import Load, reading
from tests.conftest import noise

TAIL = 0.02
"""Seconds of silence at the end, so that a resampler's last samples are not those of a signal that breaks off."""


def riff(rate: float, channels: int = 2, seconds: float = 0.7) -> np.ndarray:
    audio = noise(round(seconds * rate), channels)
    audio[:, -round(TAIL * rate) :] = 0
    return audio


def assert_equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("block", [64, 100, 512, 8192])
def test_the_effect_equals_the_board_offline(
    server: StreamServer, boards: dict[str, BoardHost], load: Load, rate: int, block: int
) -> None:
    audio = riff(rate)
    plugin = load(server.port, "lead")
    out = plugin.process(audio, rate, buffer_size=block)
    assert_equal(out, boards["lead"].copy()(audio, rate))
    stream = boards["lead"].open(Spec(rate, 2, 4096))
    boards["lead"].close(stream)
    assert (stream.latency > 0) == (rate != 48000)  # the board's resamplers
    assert plugin.reported_latency_samples == max(1024, block) + stream.latency


def test_mono(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    audio = riff(48000, 1)
    plugin = load(server.port, "lead", "NeuralFXMono")
    assert_equal(plugin.process(audio, 48000, buffer_size=256), boards["lead"].copy()(audio, 48000))


def test_it_stands_among_native_plugins(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    """Pedalboard's own `Pedalboard`, which takes no Python processor, plays one of ours."""
    audio = riff(48000)
    native = pedalboard.Pedalboard([pedalboard.HighpassFilter(100), load(server.port, "lead"), pedalboard.Gain(-3)])
    ours = neural_fx.Pedalboard([pedalboard.HighpassFilter(100), *boards["lead"].copy(), pedalboard.Gain(-3)])
    assert_equal(native(audio, 48000, buffer_size=512), ours(audio, 48000))


def test_it_plays_again_and_at_other_rates(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    plugin = load(server.port, "lead")
    for rate in (48000, 44100, 48000):
        audio = riff(rate, seconds=0.2)
        for _ in range(2):
            assert_equal(plugin.process(audio, rate, buffer_size=300), boards["lead"].copy()(audio, rate))


def test_macros_are_the_boards(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    plugin = load(server.port, "lead")
    names = list(plugin.parameters)
    assert [n for n in names if n.startswith("macro")][:3] == ["macro_1_drive", "macro_2_loudness", "macro_3"]
    assert plugin.macro_1_drive == pytest.approx(0.6, abs=1e-3)  # as the board's own values, in its ranges
    assert plugin.macro_2_loudness == pytest.approx(-6, abs=1e-2)
    assert plugin.parameters["macro_1_drive"].range[:2] == (0.2, 0.9)
    assert plugin.parameters["macro_2_loudness"].range[:2] == (-30, 0)
    plugin.macro_1_drive, plugin.macro_2_loudness = 0.375, -15
    board = boards["lead"].copy()
    neural_fx.slots.apply_settings(board, ["1.drive=0.375", "2.gain_db=-15"])
    audio = riff(48000)
    out = plugin.process(audio, 48000, buffer_size=256)
    wanted = board(audio, 48000)
    settled = slice(4800, None)  # gliding to the new positions takes 20 ms
    np.testing.assert_allclose(out[:, settled], wanted[:, settled], atol=1e-4 * np.abs(wanted).max())


def test_mix_gains_and_bypass(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    audio = riff(48000)
    wet = boards["lead"].copy()(audio, 48000)
    plugin = load(server.port, "lead")
    plugin.mix = 0.0
    assert_equal(plugin.process(audio, 48000, buffer_size=256)[:, 2000:], audio[:, 2000:])
    plugin.mix, plugin.output_gain_db = 0.5, 6
    out = plugin.process(audio, 48000, buffer_size=256)
    np.testing.assert_allclose(out[:, 2000:], 10 ** (6 / 20) * (audio + wet)[:, 2000:] / 2, atol=1e-4)
    plugin.bypass = True
    assert_equal(plugin.process(audio, 48000, buffer_size=256)[:, 2000:], audio[:, 2000:])
    plugin.bypass, plugin.mix, plugin.output_gain_db, plugin.input_gain_db = False, 1.0, 0, -12
    quieter = boards["lead"].copy()(audio * np.float32(10 ** (-12 / 20)), 48000)
    out = plugin.process(audio, 48000, buffer_size=256)
    np.testing.assert_allclose(out[:, 2000:], quieter[:, 2000:], atol=1e-4)


def test_latency_is_a_parameter(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    audio = riff(48000)
    plugin = load(server.port, "lead")
    plugin.latency_budget_frames = 4096
    assert_equal(plugin.process(audio, 48000, buffer_size=64), boards["lead"].copy()(audio, 48000))
    assert plugin.reported_latency_samples == 4096


def test_state(server: StreamServer, boards: dict[str, BoardHost], load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session knows its worker, its board and its macros, and a plugin elsewhere takes them over."""
    first = load(server.port, "lead")
    first.macro_1_drive, first.mix, first.latency_budget_frames = 0.9, 0.7, 2048
    audio = riff(48000)
    played = first.process(audio, 48000, buffer_size=256)
    state = first.raw_state
    other = load(1)  # nobody listens on port 1
    dropouts = reading(other, "dropouts")
    other.raw_state = state
    assert other.latency_budget_frames == first.latency_budget_frames
    again = other.process(audio, 48000, buffer_size=256)
    assert reading(other, "dropouts") == dropouts
    np.testing.assert_allclose(again[:, 4800:], played[:, 4800:], atol=1e-4 * np.abs(played).max())


def test_a_session_opens_at_a_worker_without_its_board(boards: dict[str, BoardHost], load: Load) -> None:
    """The board's text is in the session."""
    audio = riff(48000)
    here = StreamServer({"lead": boards["lead"]})
    plugin = load(here.port, "lead")
    plugin.process(audio, 48000, buffer_size=256)
    state = plugin.raw_state
    here.close()
    elsewhere = StreamServer({"other": BoardHost("other", neural_fx.Pedalboard)}, port=here.port)
    try:
        moved = load(1)
        moved.raw_state = state
        assert_equal(moved.process(audio, 48000, buffer_size=256), boards["lead"].copy()(audio, 48000))
    finally:
        elsewhere.close()


def test_no_worker(load: Load) -> None:
    """The dry signal passes, in time."""
    plugin = load(1)
    audio = riff(48000)
    out = plugin.process(audio, 48000, buffer_size=256)
    np.testing.assert_allclose(out[:, 2000:], audio[:, 2000:], atol=1e-7)


def test_many_instances(server: StreamServer, boards: dict[str, BoardHost], load: Load) -> None:
    """Thirty-two of them share one connection thread."""

    def connection_threads() -> int:
        return [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()].count("neural-fx")

    first = load(server.port, "lead")
    before = connection_threads()
    plugins = [first, *(load(server.port, "lead") for _ in range(31))]
    audio = riff(48000, seconds=0.1)
    wanted = boards["lead"].copy()(audio, 48000)
    for plugin in plugins:
        assert_equal(plugin.process(audio, 48000, buffer_size=128), wanted)
    assert connection_threads() == before


@pytest.fixture(scope="module")
def instrument(built: Path, server: StreamServer) -> Any:
    """Pedalboard asks for the text of 2,080 MIDI controllers, which takes it 12 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_FX_WORKER", f"127.0.0.1:{server.port}")
        return pedalboard.load_plugin(str(built / "NeuralInstrument.vst3"))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("block", [64, 100, 512, 8192])
def test_the_instrument_plays_at_the_right_sample(instrument: Any, rate: int, block: int) -> None:
    times = [round(t * rate) / rate for t in (0.1, 0.35, 0.51)]  # pedalboard cuts what is between two samples
    notes = [
        mido.Message("note_on", note=69, velocity=90, time=times[0]),
        mido.Message("note_off", note=69, time=times[1]),
        mido.Message("note_on", note=57, velocity=60, time=times[2]),
    ]
    wanted = instruments.DDSP("violin")(notes, 0.8, rate)
    out = instrument(notes, duration=0.8, sample_rate=rate, num_channels=2, buffer_size=block)
    late = instrument.reported_latency_samples  # pedalboard does not compensate an instrument's latency
    assert late == max(1024, block)
    assert_equal(out[:, late:], wanted[:, : wanted.shape[1] - late])
