"""Training through the compiled kernels: outputs and gradients are torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_fx.engines import cpu
from neural_fx.networks import Network
from neural_fx.networks.wavenet.binding import compile_wavenet
from neural_fx.training import compiled
from neural_fx.training.architectures import a1, a2, knobbed, pedal, smc, untrained
from neural_fx.training.learners import Learner

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled engine is not built")

NETWORKS = {
    "a1-nano": lambda: untrained("a1-nano"),
    "a1-odd": lambda: a1((5, 3), ([1, 700], [3, 2])),
    "a2-lite": lambda: untrained("a2-lite"),
    "a2-wide": lambda: a2(5),
    "smc": lambda: smc(6),
    "knobs": lambda: knobbed(pedal(5), 2),
}


def run(learner: Learner, x: torch.Tensor, knobs: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Output, and the gradient of a squared error by all parameters."""
    learner.zero_grad()
    y = learner(x, knobs)
    (y - target).square().sum().backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learner.parameters()]
    return y.detach().numpy(), torch.cat([g.flatten() for g in gradients]).numpy()


def compare(network: Network, window: int) -> None:
    torch.manual_seed(0)
    learner = Learner(network, "cpu", window, batch=2, threads=2)
    assert learner.plain is not None
    x, target = 0.3 * torch.randn(2, window + learner.context), torch.randn(2, window)
    knobs = torch.rand(2, network.in_channels - 1)
    ours = run(learner, x, knobs, target)
    learner.plain = None
    for found, wanted in zip(ours, run(learner, x, knobs, target), strict=True):
        assert np.linalg.norm(found - wanted) < 1e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_torch(name: str) -> None:
    compare(NETWORKS[name](), 700)


@settings(max_examples=15, deadline=None)
@given(window=st.integers(1, 900), dilations=st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_gradients_for_any_window_and_dilations(window: int, dilations: list[int]) -> None:
    compare(a1((3, 2), (dilations, [1])), window)


def test_what_the_kernels_do_not_train_goes_to_torch() -> None:
    lstm = untrained("lstm")
    learner = Learner(lstm, "cpu", 64, batch=1, threads=1)
    assert learner.plain is None
    assert learner(torch.zeros(1, 64 + learner.context), torch.zeros(1, 0)).shape == (1, 64)


def test_windows_refuse_wrong_shapes() -> None:
    described = compile_wavenet(untrained("a1-nano"))
    window = described.window(5000)
    assert compiled.Windows(untrained("a1-nano"), 5000, 1).parameters == window.parameters
    with pytest.raises(ValueError, match="expected"):
        window.forward(np.zeros(3, np.float32), np.zeros((1, 5000), np.float32), np.zeros(window.outputs, np.float32))
    with pytest.raises(ValueError, match="receptive field"):
        described.window(10)
