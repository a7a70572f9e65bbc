"""Play networks in torch, sample by sample: the reference for the compiled kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neural_fx.arrays import Numbers
from neural_fx.networks.autoregressive.model import Autoregressive
from neural_fx.networks.autoregressive.sampling import Uniform, draw_classes, draw_logistics


class Sampler:
    """Draws samples from distributions, and says which unit-level samples they are.

    Args:
        model: the network.
        seeds: of the voices.
        temperature: of the draws.
    """

    def __init__(self, model: Autoregressive, seeds: tuple[int, ...], temperature: float) -> None:
        self._classes = model.description.sizes.output == "classes"
        self._random = Uniform(seeds)
        self._temperature = temperature

    def draw(self, outputs: Tensor) -> Tensor:
        """Return one sample of each voice, (voices, 1), from distributions, (voices, outputs)."""
        parameters = outputs.float().cpu().numpy()
        uniform = self._random.draw(1 if self._classes else 2)
        if self._classes:
            drawn = draw_classes(parameters, uniform[:, 0], self._temperature)
        else:
            drawn = draw_logistics(parameters, uniform, self._temperature)
        return torch.from_numpy(drawn).to(outputs.device)[:, None]


@torch.no_grad()
def generate(model: Autoregressive, conditions: Tensor, seeds: tuple[int, ...], temperature: float = 1.0) -> Tensor:
    """Return generated samples, (voices, samples): classes, or values from -1 to 1. Every layer's past is kept.

    Args:
        model: the network.
        conditions: (voices, samples, conditions), from `Autoregressive.conditions`.
        seeds: one for each voice.
        temperature: of the draws.
    """
    sampler = Sampler(model, seeds, temperature)
    state = model.initial_state(len(conditions))
    sample = model.first(len(conditions))
    found = []
    for n in range(conditions.shape[1]):
        outputs, state = model(sample, conditions[:, n : n + 1], state)
        sample = sampler.draw(outputs[:, 0])
        found.append(sample)
    return torch.cat(found, dim=1)


@torch.no_grad()
def generate_naively(
    model: Autoregressive, conditions: Tensor, seeds: tuple[int, ...], temperature: float = 1.0
) -> Tensor:
    """Return what `generate` returns, but run the network over the whole past for every sample.

    Args:
        model: the network.
        conditions: (voices, samples, conditions).
        seeds: one for each voice.
        temperature: of the draws.
    """
    sampler = Sampler(model, seeds, temperature)
    samples = model.first(len(conditions))
    for n in range(conditions.shape[1]):
        outputs, _ = model(samples, conditions[:, : n + 1])
        samples = torch.cat((samples, sampler.draw(outputs[:, -1])), dim=1)
    return samples[:, 1:]


def unit_samples(model: Autoregressive, samples: Tensor) -> Numbers:
    """Return drawn samples at unit level, for `Signal.unpack`.

    Args:
        model: the network.
        samples: (voices, samples) from `generate`.
    """
    drawn = samples.cpu().numpy()
    signal = model.description.signal
    return (
        signal.decode(drawn) if model.description.sizes.output == "classes" else drawn.astype(np.float64) * signal.peak
    )
