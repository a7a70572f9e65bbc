"""Play timbres in the compiled kernels, with one call per block.

`CompiledTransfer` follows an input, and `CompiledNotes` plays notes. They compute the same as `Analyzer`, `Synthesizer`
and `Rooms`, with less overhead per block, and without holding the interpreter's lock. They exist where
`neural_fx.engines.cpu.available`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.engines import cpu
from neural_fx.timbre import analysis, synthesis
from neural_fx.timbre.analysis import CONFIDENT, HOP, RATE, SILENCE_DB, WINDOW
from neural_fx.timbre.files import Timbre
from neural_fx.timbre.synthesis import BANDS, TAPS
from neural_fx.timbre.synthesizer import SILENT_DB

TRANSFER_KNOBS = (
    "octave", "pitch_correct", "loudness_db", "brightness", "vibrato", "breath", "morph", "adjust", "reverb",
)  # fmt: skip
"""Knobs of `CompiledTransfer`, in the order of the kernels."""
NOTE_KNOBS = ("brightness", "breath", "morph", "loudness_db", "vibrato", "reverb")
"""Knobs of `CompiledNotes`, in the order of the kernels."""


class CompiledTransfer:
    """A voice that follows the pitch and loudness of an input.

    Args:
        timbres: one, or two to morph between.
        knobs: start values of `TRANSFER_KNOBS` by name.
        fit: how the input is fitted to the timbre, with the fields of the kernels' ``FitSettings``.
    """

    def __init__(self, timbres: tuple[Timbre, ...], knobs: Mapping[str, float], fit: Mapping[str, float]) -> None:
        settings = cpu.core.FitSettings()
        for name, value in fit.items():
            setattr(settings, name, value)
        settings.confident = CONFIDENT
        self._native = cpu.core.Transfer(
            _voice_settings(1), _models(timbres), _analysis_settings(), settings, *_habits(timbres),
            _values(knobs, TRANSFER_KNOBS),
        )  # fmt: skip

    def process(self, audio: Audio, knobs: Mapping[str, float]) -> Audio:
        """Process a block.

        Args:
            audio: (samples,) at 48 kHz.
            knobs: values of `TRANSFER_KNOBS` by name, to move to.

        Returns:
            The hops that are now complete: (hops * HOP,) at 48 kHz.
        """
        out = np.empty(len(audio) + 2 * HOP, np.float32)
        written = self._native.process(np.ascontiguousarray(audio), _values(knobs, TRANSFER_KNOBS), out)
        return out[:written]


class CompiledNotes:
    """Voices that play notes. The arguments of `start` and `change` are those of the kernels' ``NoteTouch``.

    Args:
        timbres: one, or two to morph between.
        voices: number of them.
        playing: how notes begin and end, with the fields of the kernels' ``NoteSettings``.
        knobs: start values of `NOTE_KNOBS` by name.
    """

    def __init__(
        self, timbres: tuple[Timbre, ...], voices: int, playing: Mapping[str, float], knobs: Mapping[str, float]
    ) -> None:
        settings = cpu.core.NoteSettings()
        for name, value in playing.items():
            setattr(settings, name, value)
        native = cpu.core.Notes(
            _voice_settings(voices), _models(timbres), settings, *_habits(timbres), _values(knobs, NOTE_KNOBS)
        )
        self._native = native
        self.start = native.start
        self.change = native.change
        self.sounding = native.sounding
        self.level = native.level

    def render(self, count: int, knobs: Mapping[str, float]) -> Audio:
        """Render the sum of all voices.

        Args:
            count: samples.
            knobs: values of `NOTE_KNOBS` by name, to move to.

        Returns:
            (count,) at 48 kHz.
        """
        out = np.empty(count, np.float32)
        self._native.render(_values(knobs, NOTE_KNOBS), out)
        return out


def _values(knobs: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    return tuple(knobs[name] for name in names)


def _habits(timbres: tuple[Timbre, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return astuple(timbres[0].habits), astuple(timbres[-1].habits)


def _models(timbres: tuple[Timbre, ...]) -> list[Any]:
    """Return the kernels' models, each with a decoder of its own."""
    models = []
    for timbre in timbres:
        room = np.ascontiguousarray(timbre.reverb, np.float32)
        models.append(cpu.core.VoiceModel(timbre.decoder.copy().compiled, room if room.any() else room[:0]))
    return models


def _voice_settings(voices: int, seed: int = 0) -> Any:
    settings = cpu.core.VoiceSettings()
    settings.voices = voices
    settings.hop = HOP
    settings.bands = BANDS
    settings.taps = TAPS
    settings.rate = RATE
    settings.silent_db, settings.full_db = SILENT_DB
    settings.knob_samples = round(blocks.SMOOTHING_SECONDS * RATE)
    settings.knob_frames = blocks.TIMBRE_SMOOTHING_FRAMES
    settings.basis = synthesis.BASIS.ravel().tolist()
    settings.band_octaves = np.log2(synthesis.BAND_KILOHERTZ).tolist()
    settings.set_random(generator_state(seed))
    return settings


def generator_state(seed: int) -> list[int]:
    """Return the state of numpy's default generator after seeding, for the kernels."""
    generator = np.random.PCG64(seed).state["state"]
    return [*_halves(generator["state"]), *_halves(generator["inc"])]


def _halves(number: int) -> tuple[int, int]:
    """Return the upper and the lower 64 bits of a number of 128 bits."""
    return number >> 64, number & (1 << 64) - 1


def _analysis_settings() -> Any:
    settings = cpu.core.AnalysisSettings()
    settings.window = WINDOW
    settings.lowpass = analysis.LOWPASS.tolist()
    settings.hann = analysis.HANN.tolist()
    settings.weights = analysis.POWER.tolist()
    settings.silence_db = SILENCE_DB
    settings.clear_db = SILENCE_DB + 15
    settings.set_pitch(*analysis.PITCH_SETTINGS)
    return settings
