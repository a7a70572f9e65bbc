"""Implement the decoder and synthesiser of `neural_fx.timbre` in torch for training.

The results equal those of `neural_fx.timbre.decoder`, which runs without torch. The harmonics run forward and backward
in the compiled kernels. Noise, reverb and losses run in torch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import HOP, RATE, WINDOW, a_weight
from neural_fx.timbre.decoder import GATE, RATIO, Shape
from neural_fx.timbre.synthesis import BANDS, TAPS

DELAY = 480
"""Samples before the room responds. Anything earlier belongs to the instrument and is left to the decoder."""
LOUDNESS = 0.3
"""Weight of 1 dB of loudness difference, relative to the spectral loss."""
ROOM = 2.0
"""Weight of the energy of the room's response, so that it does not learn parts of the instrument."""
SIZES = (2048, 1024, 512, 256, 128, 64)
"""FFT sizes of the multi-scale spectral loss. Windows overlap by three quarters."""


def exp_sigmoid(x: Tensor) -> Tensor:
    """Return 2 sigmoid(x)^ln(10) + 1e-7, a positive function with small gradients at small values.

    Engel et al., "DDSP: Differentiable digital signal processing" (2020).
    """
    return 2 * torch.exp(math.log(10.0) * F.logsigmoid(x)) + 1e-7


def bank(phases: Tensor, amplitudes: Tensor) -> Tensor:
    """Synthesise harmonics as `synthesis.harmonics`, but in torch for a GPU.

    Args:
        phases: phases of the fundamental in turns, (batch, samples).
        amplitudes: (batch, frames, harmonics).

    Returns:
        (batch, samples).
    """
    batch, frames, count = amplitudes.shape
    way = torch.arange(HOP, device=amplitudes.device) / HOP
    out = amplitudes.new_zeros(batch, frames - 1, HOP)
    turns = phases.reshape(batch, frames - 1, HOP)
    for k in range(count):
        before, after = amplitudes[:, :-1, k, None], amplitudes[:, 1:, k, None]
        part = (turns * (k + 1)) % 1.0
        out = out + (before + (after - before) * way) * torch.sin(2 * math.pi * part.to(amplitudes.dtype))
    return out.reshape(batch, -1)


class Harmonics(torch.autograd.Function):
    """Run `synthesis.harmonics` with gradients for the amplitudes.

    Takes phases, (batch, samples), and amplitudes, (batch, frames, harmonics), and returns (batch, samples).
    """

    @staticmethod
    def forward(ctx: Any, phases: Tensor, amplitudes: Tensor) -> Tensor:
        ctx.save_for_backward(phases)
        ctx.count = amplitudes.shape[2]
        out = synthesis.harmonics(phases.cpu().numpy(), amplitudes.detach().cpu().numpy())
        return torch.from_numpy(out).to(amplitudes.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (phases,) = ctx.saved_tensors
        d = gradients[0]
        back = synthesis.harmonics_adjoint(phases.cpu().numpy(), d.contiguous().cpu().numpy(), ctx.count)
        return None, torch.from_numpy(back).to(d.device)


def _mlp(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(),
        nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(),
    )  # fmt: skip


class TimbreModel(nn.Module):
    """Synthesise audio from pitch, confidence and loudness.

    Args:
        shape: sizes of the network.
    """

    band_weights: Tensor
    decay: Tensor
    numbers: Tensor
    window: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        self.pitch = _mlp(2, hidden)
        self.loudness = _mlp(1, hidden)
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out = _mlp(3 * hidden, hidden)
        self.head = nn.Linear(hidden, 1 + shape.harmonics + BANDS)
        with torch.no_grad():
            self.head.weight *= 0.1
            self.head.bias.zero_()
            self.head.bias[1 : 1 + shape.harmonics] = -0.03 * torch.arange(shape.harmonics)
            self.head.bias[1 + shape.harmonics :] = -5.0
        self.reverb = nn.Parameter(torch.randn(shape.reverb) * 1e-3)
        decay = torch.exp(-6.9 * torch.arange(shape.reverb) / max(1, shape.reverb))
        decay[:DELAY] = 0
        self.register_buffer("decay", decay, persistent=False)
        weights = torch.from_numpy(a_weight(np.linspace(0, RATE / 2, BANDS)).astype(np.float32))
        self.register_buffer("band_weights", weights, persistent=False)
        self.register_buffer("window", torch.hann_window(TAPS), persistent=False)
        numbers = torch.arange(1, shape.harmonics + 1, dtype=torch.float32)
        self.register_buffer("numbers", numbers, persistent=False)

    def impulse_response(self) -> Tensor:
        """Return the impulse response of the room without the direct sound, (taps,)."""
        return self.reverb * self.decay

    def controls(self, f0_hz: Tensor, confidence: Tensor, loudness_db: Tensor) -> tuple[Tensor, Tensor]:
        """Return the amplitudes of the harmonics and the magnitudes of the noise bands.

        Args:
            f0_hz, confidence, loudness_db: (batch, frames).

        Returns:
            Amplitudes, (batch, frames, harmonics), and magnitudes, (batch, frames, BANDS).
        """
        pitch, loudness = torch.log2(f0_hz / 261.6256) / 2, (loudness_db + 35) / 20
        zp = self.pitch(torch.stack((pitch, confidence), -1))
        zl = self.loudness(loudness[..., None])
        state, _ = self.gru(torch.cat((zp, zl), -1))
        raw = self.head(self.out(torch.cat((state, zp, zl), -1)))
        count = self.shape.harmonics
        ratio = torch.exp(RATIO * torch.tanh(raw[..., :1]))
        hz = f0_hz[..., None] * self.numbers
        low, high = synthesis.FADE_HZ
        tones = exp_sigmoid(raw[..., 1 : 1 + count]) * ((high - hz) / (high - low)).clamp(0, 1)
        tones = tones / tones.sum(-1, keepdim=True)
        noise = exp_sigmoid(raw[..., 1 + count :])
        power = 0.5 * (tones**2 * _a_weight(hz)).sum(-1, keepdim=True)
        power = power + synthesis.NOISE_POWER * (noise**2 * self.band_weights).mean(-1, keepdim=True)
        gain = ratio * torch.sqrt(10 ** (loudness_db[..., None] / 10) / (power + 1e-9))
        gate = ((confidence[..., None] - GATE[0]) / (GATE[1] - GATE[0])).clamp(0, 1)
        return tones * gain * gate, noise * gain

    def forward(self, f0_hz: Tensor, confidence: Tensor, loudness_db: Tensor, white: Tensor) -> Tensor:
        """Synthesise audio.

        Args:
            f0_hz, confidence, loudness_db: (batch, frames).
            white: uniform noise in -1 to 1, (batch, frames - 1, HOP).

        Returns:
            (batch, (frames - 1) * HOP).
        """
        amplitudes, magnitudes = self.controls(f0_hz, confidence, loudness_db)
        phases, _ = synthesis.turns(f0_hz.cpu().numpy(), np.zeros(len(f0_hz)))
        turns = torch.from_numpy(phases)
        if amplitudes.is_cuda:
            audio = bank(turns.to(amplitudes.device), amplitudes)
        else:
            audio = Harmonics.apply(turns, amplitudes)  # type: ignore[no-untyped-call]
        audio = audio + self._noise(magnitudes[:, 1:], white)
        response = self.impulse_response()
        size = audio.shape[1] + len(response)
        wet = torch.fft.irfft(torch.fft.rfft(audio, size) * torch.fft.rfft(response, size), size)
        heard: Tensor = audio + wet[:, : audio.shape[1]]
        return heard

    def _noise(self, magnitudes: Tensor, white: Tensor) -> Tensor:
        taps = torch.fft.irfft(magnitudes).roll(TAPS // 2, -1) * self.window
        parts = torch.fft.irfft(torch.fft.rfft(white, 512) * torch.fft.rfft(taps, 512), 512)[..., : HOP + TAPS]
        batch, hops, length = parts.shape
        total = (hops - 1) * HOP + length
        out = F.fold(parts.transpose(1, 2), (1, total), (1, length), stride=(1, HOP))
        return out.reshape(batch, total)[:, : hops * HOP]


def _a_weight(hz: Tensor) -> Tensor:
    s = hz**2
    gain: Tensor = 12194.0**2 * s**2 / ((s + 20.6**2) * torch.sqrt((s + 107.7**2) * (s + 737.9**2)) * (s + 12194.0**2))
    return (gain * 1.2589254) ** 2


def spectral_loss(audio: Tensor, target: Tensor, sizes: tuple[int, ...] = SIZES) -> Tensor:
    """Return the multi-scale spectral loss: L1 of magnitudes plus L1 of their logarithms, summed over FFT sizes.

    Wang et al. (2019), Engel et al. (2020).

    Args:
        audio, target: (batch, samples).
        sizes: FFT sizes.

    Returns:
        A scalar.
    """
    loss = audio.new_zeros(())
    for size in sizes:
        a, b = magnitudes(audio, size), magnitudes(target, size)
        loss = loss + F.l1_loss(a, b) + F.l1_loss(torch.log(a + 1e-5), torch.log(b + 1e-5))
    return loss


def loudness_loss(audio: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of the A-weighted loudness in dB, with a floor of -80 dB.

    Args:
        audio, target: (batch, samples).

    Returns:
        A scalar.
    """
    weights = _a_weight(torch.fft.rfftfreq(WINDOW, 1 / RATE, device=audio.device))
    a, b = ((magnitudes(x, WINDOW) ** 2 * weights).sum(-1) * (16 / 3 / WINDOW**2) for x in (audio, target))
    return 10 * F.l1_loss(torch.log10(a + 1e-8), torch.log10(b + 1e-8))


def magnitudes(audio: Tensor, size: int) -> Tensor:
    """Return the magnitude spectra of Hann windows that overlap by three quarters.

    Args:
        audio: (batch, samples).
        size: samples of a window.

    Returns:
        (batch, frames, size / 2 + 1).
    """
    windows = audio.unfold(1, size, size // 4) * torch.hann_window(size, device=audio.device)
    spectra = torch.fft.rfft(windows)
    found: Tensor = torch.sqrt(spectra.real**2 + spectra.imag**2 + 1e-14)
    return found
