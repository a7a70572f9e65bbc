"""The policy behind ``device="auto"``, with a device that is only said to be there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pedalboard
import pytest
import torch

import neural_fx
from neural_fx import placement
from neural_fx.blocks import GPU_RENDER_BLOCK
from neural_fx.pedals import DS1, TubeScreamer, make_pedal
from neural_fx.placement import DeviceError, LivePlacement, captures, check_device, cost, offline_device, place
from neural_fx.processor import Spec
from neural_fx.render import render_file, write_audio
from tests.conftest import noise


def board() -> neural_fx.Pedalboard:
    inner = neural_fx.Mix([neural_fx.Chain([DS1()]), pedalboard.Gain(-6)])
    return neural_fx.Pedalboard([pedalboard.Compressor(), TubeScreamer(), inner])


def test_captures_are_found_wherever_they_stand() -> None:
    assert [type(capture) for capture in captures(board())] == [TubeScreamer, DS1]
    assert list(captures(pedalboard.Pedalboard([pedalboard.Gain()]))) == []


def test_devices_are_checked() -> None:
    assert [check_device(d) for d in ("auto", "cpu", "torch", "batched")] == ["auto", "cpu", "torch", "batched"]
    with pytest.raises(DeviceError, match="unknown device 'gpu'; known: auto, cpu, cpu-fast, cuda"):
        check_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match=r"'cuda' cannot be used here: .*; use cpu or auto"):
            place(board(), "cuda")


def test_cost_is_measured() -> None:
    one = cost(board())
    assert 0 < one < 10
    assert cost(neural_fx.Pedalboard([pedalboard.Gain()])) == 0


def test_offline_goes_where_it_is_done_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "cost", lambda board: 0.02)
    monkeypatch.setattr(placement.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(placement, "has_cuda", lambda: False)
    assert offline_device(board(), 1e6) == "cpu"
    monkeypatch.setattr(placement, "has_cuda", lambda: True)
    assert offline_device(board(), 60) == "cpu"  # 1.2 s of a core
    assert offline_device(board(), 600) == "cuda"  # 12 s
    assert offline_device(board(), 600, jobs=4) == "cpu"  # 3 s of four


def test_live_streams_move_when_half_the_cores_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    monkeypatch.setattr(placement, "cost", lambda board, channels: 0.3 * channels)
    monkeypatch.setattr(placement, "place", lambda board, device: placed.append(device))
    monkeypatch.setattr(placement, "has_cuda", lambda: True)
    live = LivePlacement(cores=4)
    shares = [live.put(board(), 2) for _ in range(3)]
    assert (shares, placed) == ([0.6, 0.6, 0.6], [])
    assert live.put(board(), 2) == 0
    assert placed == ["cuda"]
    live.end(shares[0])
    assert live.put(board(), 2) == 0.6
    live.end(0.6 * 4)
    assert live.load == 0
    monkeypatch.setattr(placement, "has_cuda", lambda: False)
    assert [live.put(board(), 2) for _ in range(9)] == [0.0] * 9
    assert placed == ["cuda"]


@pytest.mark.parametrize("rate", [48000, 44100])
def test_a_file_in_batches_equals_one_on_the_cpu(rate: int, tmp_path: Path) -> None:
    write_audio(tmp_path / "in.wav", 0.3 * noise(3 * rate, 2), rate, "FLOAT")
    outputs = []
    for device in ("cpu", "batched"):
        made = neural_fx.Pedalboard([make_pedal("klon-gain-stage"), pedalboard.Gain(-3)])
        place(made, device)
        assert {capture.device for capture in captures(made)} == {device}
        render_file(tmp_path / "in.wav", tmp_path / f"{device}.wav", made)
        outputs.append(neural_fx.audio.read_audio(tmp_path / f"{device}.wav")[0])
    assert outputs[0].shape == outputs[1].shape
    assert np.abs(outputs[0] - outputs[1]).max() <= 1e-5 * np.abs(outputs[0]).max()


def test_native_plugins_are_spared_the_long_blocks_of_a_gpu() -> None:
    """Those that stream and those that wait for the whole signal; pedalboard crashes on buffers of millions."""
    x = 0.3 * noise(30000)[None]
    for native in (pedalboard.Gain(-3), pedalboard.PitchShift(2)):
        parts = []
        for buffer in (8192, GPU_RENDER_BLOCK):
            made = neural_fx.Pedalboard([native])
            made.open_stream(Spec(48000, 1, buffer))
            parts.append(np.concatenate([*made.push(x), *made.rest()], 1))
        np.testing.assert_allclose(parts[1], parts[0], atol=1e-5)
