"""Run the decoder of a timbre, without torch: from pitch, confidence and loudness to harmonics and noise.

The network follows DDSP (Engel et al. 2020): two small networks, a recurrent layer (GRU), a third network and a linear
head. One thing differs: the overall level is not learned. The network shapes the sound. Then its A-weighted power is
scaled to the given loudness, times a learned factor of at most 12 dB for attacks and rooms. So a timbre follows
loudness that it was never trained on, and silence is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neural_fx.arrays import Numbers
from neural_fx.engines import cpu
from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import RATE, a_weight
from neural_fx.timbre.synthesis import BANDS

RATIO = 1.386
"""Natural logarithm of the largest learned factor of amplitude."""
GATE = (0.3, 0.6)
"""Confidence below which the harmonics are silent, and above which they have their full level."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a timbre's network.

    Attributes:
        hidden: width of every layer.
        harmonics: number of them.
        reverb: taps of the room's impulse response at 48 kHz.
    """

    hidden: int = 128
    harmonics: int = 100
    reverb: int = 24000


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a decoder's arrays by name."""
    h = shape.hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inputs in (("pitch", 2), ("loudness", 1), ("out", 3 * h)):
        shapes |= {f"{name}.0.weight": (h, inputs), f"{name}.0.bias": (h,)}
        shapes |= {f"{name}.3.weight": (h, h), f"{name}.3.bias": (h,)}
        shapes |= {f"{name}.{i}.{part}": (h,) for i in (1, 4) for part in ("weight", "bias")}
    shapes |= {"gru.weight_ih_l0": (3 * h, 2 * h), "gru.weight_hh_l0": (3 * h, h)}
    shapes |= {"gru.bias_ih_l0": (3 * h,), "gru.bias_hh_l0": (3 * h,)}
    outputs = 1 + shape.harmonics + BANDS
    return shapes | {"head.weight": (outputs, h), "head.bias": (outputs,)}


@dataclass(frozen=True)
class Frames:
    """Input of the synthesiser.

    Attributes:
        amplitudes: (voices, frames, harmonics), linear.
        magnitudes: (voices, frames, BANDS), linear, of the noise.
    """

    amplitudes: Numbers
    magnitudes: Numbers


def _kernel_order() -> list[str]:
    """Return the names of the weights in the order that the kernels expect."""
    names = []
    for part in ("pitch", "loudness", "gru", "out"):
        layers = ("ih_l0", "hh_l0") if part == "gru" else ("0", "1", "3", "4")
        for layer in layers:
            names += [
                f"gru.{kind}_{layer}" if part == "gru" else f"{part}.{layer}.{kind}" for kind in ("weight", "bias")
            ]
    return [*names, "head.weight", "head.bias"]


class Decoder:
    """The network of a timbre.

    The caller keeps its state, (voices, hidden). Only one thread at a time may use a decoder.

    Args:
        shape: sizes of the network.
        weights: arrays by name, with the shapes of `weight_shapes`.
    """

    def __init__(self, shape: Shape, weights: Mapping[str, Numbers]) -> None:
        self.shape = shape
        self.w = {name: np.asarray(weights[name], np.float32) for name in weight_shapes(shape)}
        self._recurrent = np.ascontiguousarray(self.w["gru.weight_hh_l0"].T)
        self.compiled: Any = self._compile() if cpu.available() else None

    def __reduce__(self) -> tuple[type[Decoder], tuple[Shape, dict[str, Numbers]]]:
        """Copy and pickle the weights only. The compiled network is built from them again."""
        return Decoder, (self.shape, self.w)

    def copy(self) -> Decoder:
        """Return the same decoder for another thread."""
        return Decoder(self.shape, self.w)

    def _compile(self) -> Any:
        flat = np.concatenate([self.w[name].ravel() for name in _kernel_order()])
        weights = a_weight(np.linspace(0, RATE / 2, BANDS)).tolist()
        return cpu.core.Decoder(
            self.shape.hidden, self.shape.harmonics, BANDS, flat, RATIO, *GATE, *synthesis.FADE_HZ,
            synthesis.NOISE_POWER, weights,
        )  # fmt: skip

    def start(self, voices: int) -> Numbers:
        """Return the state of voices before their first frame, (voices, hidden)."""
        return np.zeros((voices, self.shape.hidden), np.float32)

    def decode(
        self, f0_hz: Numbers, confidence: Numbers, loudness_db: Numbers, state: Numbers
    ) -> tuple[Frames, Numbers]:
        """Compute the next frames.

        Args:
            f0_hz: (voices, frames), pitch in Hz.
            confidence: (voices, frames), 0..1, of the pitch.
            loudness_db: (voices, frames), A-weighted.
            state: (voices, hidden), from `start` or the previous call.

        Returns:
            The frames, and the next state.
        """
        if self.compiled is not None:
            return self._run(np.stack((f0_hz, confidence, loudness_db), -1).astype(np.float32), state)
        hz = np.asarray(f0_hz, np.float32)
        sure = np.asarray(confidence, np.float32)
        loud = np.asarray(loudness_db, np.float32)
        zp = self._mlp("pitch", np.stack((np.log2(hz / np.float32(261.6256)) / 2, sure), -1))
        zl = self._mlp("loudness", ((loud + 35) / 20)[..., None])
        z = np.concatenate((zp, zl), -1)
        states, state = self._gru(z, state)
        raw = self._linear("head", self._mlp("out", np.concatenate((states, z), -1)))
        return self._frames(raw, hz, sure, loud), state

    def _run(self, inputs: Numbers, state: Numbers) -> tuple[Frames, Numbers]:
        """Run `decode` in the compiled kernels."""
        state = np.array(state, np.float32, order="C")
        tones = np.empty((*inputs.shape[:2], self.shape.harmonics), np.float32)
        noise = np.empty((*inputs.shape[:2], BANDS), np.float32)
        self.compiled.decode(inputs, state, tones, noise)
        return Frames(tones, noise), state

    def _frames(self, raw: Numbers, hz: Numbers, sure: Numbers, loud: Numbers) -> Frames:
        count = self.shape.harmonics
        ratio = np.exp(np.float32(RATIO) * np.tanh(raw[..., :1]))
        tones = exp_sigmoid(raw[..., 1 : 1 + count]) * synthesis.audible(hz, count)
        tones /= np.maximum(tones.sum(-1, keepdims=True), 1e-12)
        noise = exp_sigmoid(raw[..., 1 + count :])
        # Scale the frame to the given loudness. The network only chooses the ratio around it.
        power = synthesis.power(hz, tones, noise)[..., None]
        gain = ratio * np.sqrt(10 ** (loud[..., None] / 10) / (power + np.float32(1e-9)))
        gate = np.clip((sure[..., None] - GATE[0]) / (GATE[1] - GATE[0]), 0, 1)
        return Frames((tones * gain * gate).astype(np.float32), (noise * gain).astype(np.float32))

    def _linear(self, name: str, x: Numbers) -> Numbers:
        return np.asarray(x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"])

    def _mlp(self, name: str, x: Numbers) -> Numbers:
        for first in (0, 3):
            x = self._linear(f"{name}.{first}", x)
            x = x - x.mean(-1, keepdims=True)
            x = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + np.float32(1e-5))
            x = x * self.w[f"{name}.{first + 1}.weight"] + self.w[f"{name}.{first + 1}.bias"]
            x = np.maximum(x, np.float32(0.01) * x)
        return x

    def _gru(self, z: Numbers, state: Numbers) -> tuple[Numbers, Numbers]:
        """Run torch's GRU, with gates in the order reset, update, new."""
        hidden = self.shape.hidden
        inputs = z @ self.w["gru.weight_ih_l0"].T + self.w["gru.bias_ih_l0"]
        bias = self.w["gru.bias_hh_l0"]
        states = np.empty((*z.shape[:2], hidden), np.float32)
        for k in range(z.shape[1]):
            own = state @ self._recurrent + bias
            x = inputs[:, k]
            gates = 0.5 + 0.5 * np.tanh(0.5 * (x[:, : 2 * hidden] + own[:, : 2 * hidden]))
            new = np.tanh(x[:, 2 * hidden :] + gates[:, :hidden] * own[:, 2 * hidden :])
            state = new + gates[:, hidden:] * (state - new)
            states[:, k] = state
        return states, state


def exp_sigmoid(x: Numbers) -> Numbers:
    """Return 2 sigmoid(x)^ln(10) + 1e-7 (Engel et al. 2020)."""
    log = np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))
    return np.asarray(2 * np.exp(np.float32(np.log(10.0)) * log) + np.float32(1e-7), np.float32)
