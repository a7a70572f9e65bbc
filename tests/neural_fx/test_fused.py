"""Fused kernels against torch: which stacks they take, what they compute, and that torch takes over if they fail.

The kernels run in Triton's interpreter if Triton is installed. No GPU is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from neural_fx.engines.fused import FusedStack, qualifies, stack, wanted
from neural_fx.networks import Network, WaveNet, build
from neural_fx.networks.parts import Activation, Conv
from neural_fx.networks.wavenet.description import Film
from neural_fx.networks.wavenet.model import LayerArray
from neural_fx.networks.wavenet.untrained import a1, a2, smc
from neural_fx.training.architectures import knobbed, pedal, untrained

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreter = pytest.mark.skipif(
    find_spec("triton") is None or not INTERPRETED, reason="needs Triton and TRITON_INTERPRET=1"
)
DILATIONS = ([1, 4, 16], [1, 8])


def turning() -> Network:
    """Return a network with knobs that do something."""
    net = knobbed(pedal(4), 2)
    rng = np.random.default_rng(5)
    for dense in net.dense:
        dense.weight[:] = 0.3 * rng.normal(size=dense.weight.shape)
        dense.bias[:] = 0.3 * rng.normal(size=dense.bias.shape)
    return net


def blended() -> WaveNet:
    """Return a small network with blended gates, odd numbers of channels and no residual in its last layer."""
    net = smc(3)
    layers = tuple(
        replace(layer, gating="blended", secondary=Activation("sigmoid")) for layer in net.arrays[0].layers[:3]
    )
    layers = (*layers[:2], replace(layers[2], residual=None, activation=Activation("relu")))
    return WaveNet((replace(net.arrays[0], layers=layers),))


NETWORKS = {
    "a1": lambda: a1((4, 2), DILATIONS),
    "a1-odd": lambda: a1((5, 3), DILATIONS),
    "a2": lambda: a2(2),
    "gated": lambda: smc(2),
    "blended": blended,
    "knobs": turning,
}


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the kernels on the CPU, and for signals of all lengths."""
    monkeypatch.setattr(stack, "wanted", lambda device: True)
    for name in ("least_samples", "least_work"):
        monkeypatch.setattr(stack.TILES, name, 0)


@interpreter
@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", NETWORKS)
def test_same_numbers_as_torch(name: str) -> None:
    """Blocks shorter and longer than the past of a layer: outputs and states are torch's, to rounding."""
    net = NETWORKS[name]()
    reference, model = (build(net).eval().requires_grad_(False) for _ in range(2))
    assert stack.fuse(model, torch.device("cpu")) == len(getattr(net, "arrays", [None]))
    states = [reference.initial_state(2), model.initial_state(2)]
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for samples in (40, 7, 150):
            x = 0.5 * torch.randn(2, net.in_channels, samples, generator=generator)
            x[:, 1:] = 0.3
            y, states[0] = reference(x, states[0])
            found, states[1] = model(x, states[1])
            assert float((y - found).square().sum() / y.square().sum()) < 1e-10
            for wanted_state, state in zip(*states, strict=True):
                assert wanted_state.shape == state.shape
                torch.testing.assert_close(state, wanted_state, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(find_spec("triton") is None or INTERPRETED, reason="needs Triton")
def test_in_interpreter() -> None:
    """Triton reads the variable when it is imported, so these tests run again in a process of their own."""
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("name", ["a1-standard", "a1-lite", "a1-feather", "a1-nano", "a2-full", "a2-lite"])
def test_all_common_architectures_qualify(name: str) -> None:
    net = untrained(name)
    assert isinstance(net, WaveNet)
    assert all(qualifies(array) for array in net.arrays)
    assert all(qualifies(array) for array in pedal(16).arrays)


def test_others_do_not_qualify() -> None:
    """FiLM, groups, unknown activations and many channels stay with torch."""
    array = a1((4, 2), DILATIONS).arrays[0]
    first = array.layers[0]
    grouped = Conv(np.ones((4, 2, 3), np.float32), groups=2)
    film = Film(Conv(np.ones((8, 1, 1), np.float32)), shift=True)
    for layer in (
        replace(first, films={"conv_post_film": film}),
        replace(first, conv=grouped),
        replace(first, activation=Activation("softmax")),
        replace(first, activation=Activation("prelu", slopes=np.ones(4, np.float32))),
        replace(first, gating="gated", secondary=Activation("silu")),
    ):
        assert not qualifies(replace(array, layers=(layer, *array.layers[1:])))
    assert not qualifies(a1((32, 8), DILATIONS).arrays[0])


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable switches the kernels off. Without CUDA or Triton there are none."""
    monkeypatch.setattr("neural_fx.engines.fused.selection.find_spec", lambda name: object())
    assert wanted("cuda")
    assert not wanted("cpu")
    monkeypatch.setenv("NEURAL_FX_FUSED", "0")
    assert not wanted("cuda")
    monkeypatch.delenv("NEURAL_FX_FUSED")
    monkeypatch.setattr("neural_fx.engines.fused.selection.find_spec", lambda name: None)
    assert not wanted("cuda")


def test_short_signals_stay_with_torch() -> None:
    """A live block, and the silence before it, do not wait for the compiler."""
    tiles = stack.Tiles()
    assert not tiles.suit(256, 256)
    assert not tiles.suit(1, 6347)
    assert tiles.suit(1, 1 << 16)
    assert tiles.suit(1024, 4096)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", ["a1", "knobs"])
def test_torch_takes_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the kernels fail in the middle of a stack, there is one warning, and the output is torch's."""
    net = NETWORKS[name]()
    reference, model = (build(net).eval().requires_grad_(False) for _ in range(2))
    stack.fuse(model, torch.device("cpu"))

    def fail(self: FusedStack, *arguments: object) -> None:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(FusedStack, "_run", fail)
    x = torch.full((1, net.in_channels, 60), 0.3)
    stacks = [module for module in model.modules() if isinstance(module, LayerArray)]
    with torch.inference_mode(), warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        y, _ = model(x, model.initial_state(1))
        model(x, model.initial_state(1))
        expected, _ = reference(x, reference.initial_state(1))
    assert 1 <= len(record) <= len(stacks)
    assert "torch runs the network instead: no compiler" in str(record[0].message)
    assert torch.equal(y, expected)
