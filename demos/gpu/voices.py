"""Measure how many voices of instruments a device plays in real time."""

from __future__ import annotations

import time

import mido
import numpy as np
import torch

import instruments
from demos.gpu.ceilings import seconds_of
from demos.gpu.context import RATE, Context, percentiles
from demos.gpu.one_core import pinned
from instruments import Instrument
from neural_fx.timbre.analysis import HOP
from neural_fx.timbre.decoder import Shape
from neural_fx.training.timbre.model import TimbreModel

LIVE_SHARE = 0.5
"""Share of a hop within which a live decoder must finish."""
SECONDS = 4.0
"""Largest time in seconds to measure one number of voices live."""


def measure(context: Context) -> None:
    """Record the decoder hop by hop and whole voices offline on the device, then every family on one core."""
    counts = (4,) if context.short else (16, 64, 256, 1024, 4096)
    with torch.inference_mode():
        torch.manual_seed(0)
        model = TimbreModel(Shape()).to(context.device).eval()
        for voices in counts:
            if not context.skip(3.0, what="decoder, live", voices=voices):
                decoder_live(context, model, voices)
        for voices in counts[:3]:
            if not context.skip(5.0, what="harmonics, noise and room, offline", voices=voices):
                offline(context, model, voices)
    for family in families():
        if not context.skip(5.0, what=family.__name__):
            on_one_core(context, family)


def decoder_live(context: Context, model: TimbreModel, voices: int) -> None:
    """Record how long the networks of all voices take for one frame, from arrays to arrays.

    Each frame starts with a state of zeros, which takes as long as any other state.

    Args:
        context: the running part.
        model: the decoder.
        voices: number of voices.
    """
    score = np.stack((_pitches(voices), np.ones(voices), np.full(voices, -30.0)))[..., None].astype(np.float32)
    taken: list[float] = []
    while len(taken) < (20 if context.short else 500) and sum(taken) < SECONDS:
        began = time.perf_counter()
        hz, confidence, loudness = torch.from_numpy(score).to(context.device)
        for part in model.controls(hz, confidence, loudness):
            part.cpu().numpy()
        taken.append(time.perf_counter() - began)
    times = percentiles(taken[1:] or taken)
    frame = 1e3 * HOP / RATE
    context.emit(what="decoder, live", voices=voices, **times, real_time=times["p99_ms"] <= LIVE_SHARE * frame)


def offline(context: Context, model: TimbreModel, voices: int) -> None:
    """Record how many voices play in real time if their notes are rendered in one call on the device.

    Args:
        context: the running part.
        model: the decoder and synthesiser.
        voices: number of voices.
    """
    frames = 26 if context.short else 501
    generator = torch.Generator(context.device).manual_seed(0)
    hz = torch.from_numpy(_pitches(voices)).to(context.device)[:, None].expand(voices, frames).contiguous()
    confidence, loudness = torch.ones_like(hz), torch.full_like(hz, -30.0)
    white = 2 * torch.rand(voices, frames - 1, HOP, generator=generator, device=context.device) - 1
    seconds = seconds_of(context, lambda: model(hz, confidence, loudness, white), 1 if context.short else 3)
    audio = voices * (frames - 1) * HOP / RATE
    what = "harmonics, noise and room, offline"
    context.emit(what=what, voices=voices, voices_in_real_time=round(audio / seconds, 1))


def families() -> list[type[Instrument]]:
    """Return every instrument family that the package offers."""
    found = [getattr(instruments, name) for name in instruments.__all__]
    return [
        kind for kind in found if isinstance(kind, type) and issubclass(kind, Instrument) and kind is not Instrument
    ]


def on_one_core(context: Context, family: type[Instrument]) -> None:
    """Record how many voices of a family one CPU core plays in real time, from a held chord of eight notes."""
    seconds = 0.2 if context.short else 4.0
    notes = [mido.Message("note_on", note=48 + 5 * i, velocity=90, time=0.0) for i in range(8)]
    try:
        instrument = family()
    except TypeError as error:
        context.emit(what=f"{family.__name__}, one core", error=str(error))
        return
    with pinned():
        instrument(notes, 0.1, RATE, 1)
        began = time.perf_counter()
        instrument(notes, seconds, RATE, 1)
        taken = time.perf_counter() - began
    context.emit(what=f"{family.__name__}, one core", voices=8, voices_in_real_time=round(8 * seconds / taken, 1))


def _pitches(voices: int) -> np.ndarray:
    """Return frequencies in Hz, spread over four octaves."""
    return (65.4 * 2 ** (np.arange(voices) % 48 / 12)).astype(np.float32)
