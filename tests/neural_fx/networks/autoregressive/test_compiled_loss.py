from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_fx.engines import cpu
from neural_fx.networks.autoregressive.compiled_loss import CompiledLoss
from neural_fx.networks.autoregressive.description import Description, Inputs, RecurrentSizes, WaveNetSizes
from neural_fx.networks.autoregressive.losses import class_bits
from neural_fx.networks.autoregressive.model import Autoregressive, build
from neural_fx.networks.autoregressive.signal import Signal

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the kernels were not built")

DESCRIPTIONS = {
    "wavenet": Description(WaveNetSizes(dilations=(1, 2, 4, 64, 1, 2))),
    "odd wavenet": Description(WaveNetSizes(5, 7, (1, 3, 6)), Inputs(harmonics=(1,), voice=3), Signal(levels=100)),
    "wavenet with context": Description(WaveNetSizes(16, 20, (1, 2, 4)), Inputs(context=3, context_layers=2)),
    "recurrent": Description(RecurrentSizes()),
    "odd recurrent": Description(RecurrentSizes(13, 5, 9), Inputs(harmonics=())),
}
SAMPLES = 150


class Learning:
    """A network, and a batch that it learns from."""

    def __init__(self, name: str, batch: int = 3, samples: int = SAMPLES) -> None:
        torch.manual_seed(6)
        self.model = build(DESCRIPTIONS[name])
        self.frames = torch.randn(batch, 4, self.model.description.inputs.frame)
        self.cycles = torch.rand(batch, samples).double().cumsum(1) * 0.02
        self.samples = torch.randint(0, self.model.description.signal.levels, (batch, samples))
        self.previous = self.model.previous(self.samples)
        self.weights = torch.rand(batch, samples)
        self.batch = batch

    def conditions(self) -> torch.Tensor:
        return self.model.conditions(self.frames, self.cycles, self.model.voices[:1].expand(self.batch, -1))

    def reference(self, model: Autoregressive) -> torch.Tensor:
        outputs, _ = model(self.previous, self.conditions())
        bits = class_bits(outputs, self.samples)
        return (bits * self.weights).sum() / self.weights.sum()

    def gradients(self) -> dict[str, torch.Tensor]:
        found = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        self.model.zero_grad()
        return found


@pytest.mark.parametrize("instruction_set", cpu.instruction_sets())
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_gradients_equal_those_of_torch(name: str, instruction_set: str) -> None:
    learning = Learning(name)
    reference = learning.reference(learning.model)
    reference.backward()
    expected = learning.gradients()
    loss = CompiledLoss(learning.model, 3, SAMPLES, instruction_set)(
        learning.previous, learning.samples, learning.conditions(), learning.weights
    )
    loss.backward()
    found = learning.gradients()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        distance = (found[key] - value).norm() / value.norm()
        assert distance < 1e-4, key


def test_a_step_of_training_lowers_the_loss() -> None:
    learning = Learning("wavenet")
    loss = CompiledLoss(learning.model, 3, SAMPLES)
    optimizer = torch.optim.Adam(learning.model.parameters(), 3e-3)
    losses = []
    for _ in range(5):
        value, bits = loss.bits(learning.previous, learning.samples, learning.conditions())
        assert bits.mean().item() == pytest.approx(value.item(), rel=1e-5)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < losses[0] - 0.1


def test_windows_are_independent() -> None:
    learning = Learning("recurrent")
    loss = CompiledLoss(learning.model, 3, SAMPLES)
    first = loss.bits(learning.previous, learning.samples, learning.conditions())[1]
    np.testing.assert_array_equal(loss.bits(learning.previous, learning.samples, learning.conditions())[1], first)
    single = CompiledLoss(learning.model, 1, SAMPLES)
    alone = single.bits(learning.previous[1:2], learning.samples[1:2], learning.conditions()[1:2])[1]
    np.testing.assert_allclose(alone[0], first[1], rtol=0, atol=1e-5)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="classes"):
        CompiledLoss(build(Description(WaveNetSizes(6, 10, (1, 2), "logistics", 3))), 1, 10)
    learning = Learning("odd wavenet")
    loss = CompiledLoss(learning.model, 3, SAMPLES)
    with pytest.raises(ValueError, match="samples"):
        loss(learning.previous[:, 1:], learning.samples[:, 1:], learning.conditions()[:, 1:])
    with pytest.raises(ValueError, match="out of range"):
        loss(learning.previous, learning.samples + 100, learning.conditions())
