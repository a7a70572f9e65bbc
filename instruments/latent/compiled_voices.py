"""Play notes of the network in the compiled kernels, with one call per block."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from instruments.contract import VOICES, Touch
from instruments.latent import features, late, live_noise, network, voices
from instruments.latent.frames import NOISE_DB, SILENT_DB, SLOT_RATIOS
from instruments.latent.live_frames import STEPS
from instruments.latent.network import LatentNetwork
from instruments.latent.noise import BANDS
from instruments.latent.parameters import HIGHEST_HZ
from instruments.latent.subbands import HOP, RATE
from instruments.latent.voices import Control, touch_gain_db
from neural_fx.arrays import Audio, Doubles
from neural_fx.engines import cpu
from neural_fx.timbre.compiled import generator_state

_LAYERS = (
    "note.first", "note.second", "note.outputs", "frame.note", "frame.time", "frame.gate", "frame.hidden",
    "frame.outputs",
)  # fmt: skip
"""Layers of the decoder, in the order of the kernels."""
# Weights are megabytes. All voices of a network share them, so that they stay in the processor's caches.
_compiled: WeakKeyDictionary[LatentNetwork, Any] = WeakKeyDictionary()


class CompiledLatentVoices:
    """The same voices as `instruments.latent.voices.LatentVoices`, several times as fast.

    Args:
        network: with the decoder.
        control: says the timbre and the gain.
        seed: of the noise.
    """

    sample_rate = float(RATE)

    def __init__(self, network: LatentNetwork, control: Control, seed: int = 0) -> None:
        if network not in _compiled:
            _compiled[network] = _compile(network)
        self._native = cpu.core.LatentVoices(_compiled[network], generator_state(seed))
        self._control = control
        self._timbre = network.sizes.timbre
        self.sounding = self._native.sounding
        self.level = self._native.level

    def start(self, voice: int, touch: Touch) -> None:
        self._native.start(voice, _played(touch), touch.held)

    def change(self, voice: int, touch: Touch) -> None:
        self._native.change(voice, _played(touch), touch.held)

    def render(self, count: int) -> Audio:
        out = np.empty(count, np.float32)
        self._native.render(self._controls(self._native.ticks(count)), out)
        return out

    def _controls(self, ticks: int) -> Doubles:
        """Return the timbre and the gain at the ticks that begin, (ticks, timbre + 1)."""
        controls = np.empty((ticks, self._timbre + 1))
        for row in controls:
            self._control.tick()
            row[:-1] = self._control.timbre()
            row[-1] = self._control.gain_db()
        return controls


def _played(touch: Touch) -> tuple[float, float, float]:
    """Return what the compiled voices take of a touch, in their order."""
    return touch.pitch, 127 * touch.velocity, touch_gain_db(touch)


def _compile(of: LatentNetwork) -> Any:
    """Return the network for the kernels."""
    flat = [of.weights[f"{layer}.{part}"].ravel() for layer in _LAYERS for part in ("weight", "bias")]
    return cpu.core.LatentNetwork(_settings(of), np.concatenate(flat))


def _settings(of: LatentNetwork) -> Any:
    settings = cpu.core.LatentSettings()
    values: dict[str, Any] = {
        "voices": VOICES,
        "hop": HOP,
        "rate": RATE,
        "timbre": of.sizes.timbre,
        "note": of.sizes.note,
        "frame": of.sizes.frame,
        "bands": BANDS,
        "pitches": features.PITCHES.tolist(),
        "velocities": features.VELOCITIES.tolist(),
        "onsets": features.ONSET_PLACES.tolist(),
        "releases": features.RELEASE_PLACES.tolist(),
        "pitch_width": features.PITCH_WIDTH,
        "velocity_width": features.VELOCITY_WIDTH,
        "place_width": features.TIME_WIDTH,
        "ticks_per_second": features.TICKS_PER_SECOND,
        "level_db": features.LEVEL_DB,
        "middle_db": features.MIDDLE_DB,
        "cents": network.CENTS,
        "slot_cents": network.SLOT_CENTS,
        "least_inharmonicity": network.LEAST_INHARMONICITY,
        "noise_db": NOISE_DB,
        "audible_db": voices.AUDIBLE_DB,
        "silent_db": SILENT_DB,
        "highest_hz": HIGHEST_HZ,
        "slot_ratios": SLOT_RATIOS.tolist(),
        "start_turns": (voices.START_PHASES / (2 * np.pi)).tolist(),
        "onset_ticks": STEPS.onset_ticks,
        "release_ticks": STEPS.release_ticks,
        "release_step": STEPS.release_step,
        "sparse_step": STEPS.sparse_step,
        "trained_ticks": late.TRAINED_TICKS,
        "slope_ticks": late.SLOPE_TICKS,
        "longest_release": voices.LONGEST_RELEASE,
        "steal_ticks": voices.STEAL_TICKS,
        "most_fading": voices.MOST_FADING,
        "response": live_noise.response().ravel().tolist(),
        "window": live_noise.noise_window().tolist(),
        "noise_scale": live_noise.UNIFORM_SCALE,
    }
    for name, value in values.items():
        setattr(settings, name, value)
    return settings
