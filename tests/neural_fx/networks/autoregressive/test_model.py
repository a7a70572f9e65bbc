from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neural_fx.errors import ModelError
from neural_fx.networks.autoregressive.conditions import phase_conditions
from neural_fx.networks.autoregressive.description import (
    PAPER,
    Description,
    Inputs,
    RecurrentSizes,
    WaveNetSizes,
    count_weights,
    weight_shapes,
)
from neural_fx.networks.autoregressive.files import (
    AutoregressiveFile,
    load_weights,
    network_bytes,
    read_network,
    save_network,
    weights_of,
)
from neural_fx.networks.autoregressive.generation import generate, generate_naively
from neural_fx.networks.autoregressive.layers import interpolated, phase_channels
from neural_fx.networks.autoregressive.losses import class_bits, logistic_bits
from neural_fx.networks.autoregressive.model import Autoregressive, build

SMALL_WAVENET = WaveNetSizes(residual=6, skip=10, dilations=(1, 2, 4, 1, 2))
SMALL_RECURRENT = RecurrentSizes(units=12, embedded=5, hidden=9)
CONTEXT = Inputs(context=3, context_layers=2)
DESCRIPTIONS = {
    "wavenet": Description(SMALL_WAVENET),
    "wavenet of logistics": Description(WaveNetSizes(6, 10, (1, 2, 4), "logistics", 3)),
    "wavenet with context": Description(SMALL_WAVENET, CONTEXT, voices=("cello", "flute")),
    "recurrent": Description(SMALL_RECURRENT),
    "recurrent of logistics": Description(RecurrentSizes(12, 5, 9, "logistics", 4)),
}


@pytest.fixture(params=DESCRIPTIONS)
def model(request: pytest.FixtureRequest) -> Autoregressive:
    torch.manual_seed(1)
    return build(DESCRIPTIONS[request.param])


def inputs(model: Autoregressive, samples: int = 60, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    frames = torch.randn(batch, 3, model.description.inputs.frame)
    cycles = torch.arange(samples).double().expand(batch, -1) * 0.013
    conditions = model.conditions(frames, cycles, model.voices[:1].expand(batch, -1))
    if model.description.sizes.output == "classes":
        return torch.randint(1, 256, (batch, samples)), conditions
    return torch.rand(batch, samples) * 2 - 1, conditions


def bits(model: Autoregressive, samples: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    outputs, _ = model(model.previous(samples), conditions)
    classes = model.description.sizes.output == "classes"
    return class_bits(outputs, samples) if classes else logistic_bits(outputs, samples)


def test_shapes(model: Autoregressive) -> None:
    previous, conditions = inputs(model)
    assert conditions.shape == (2, 60, model.description.inputs.count)
    outputs, _ = model(previous, conditions)
    assert outputs.shape == (2, 60, model.description.outputs)


def test_the_future_does_not_matter(model: Autoregressive) -> None:
    previous, conditions = inputs(model)
    outputs, _ = model(previous, conditions)
    previous[:, 40:] = previous[:, 40:].flip(1)
    changed = torch.cat((conditions[:, :40], -conditions[:, 40:]), dim=1)
    again, _ = model(previous, changed)
    torch.testing.assert_close(again[:, :40], outputs[:, :40], rtol=0, atol=1e-6)
    assert not torch.equal(again[:, 40:], outputs[:, 40:])


def test_a_wavenet_depends_on_its_receptive_field_only() -> None:
    model = build(DESCRIPTIONS["wavenet"])
    previous, conditions = inputs(model)
    field = SMALL_WAVENET.receptive_field
    outputs, _ = model(previous, conditions)
    previous[:, 10] = 257 - previous[:, 10]
    changed = (model(previous, conditions)[0] != outputs).any(dim=2)[0]
    assert changed.nonzero().max() == 10 + field - 1


def test_blocks_equal_one_call(model: Autoregressive) -> None:
    previous, conditions = inputs(model)
    whole, _ = model(previous, conditions)
    state = model.initial_state(2)
    parts = []
    for start, stop in ((0, 1), (1, 2), (2, 17), (17, 60)):
        part, state = model(previous[:, start:stop], conditions[:, start:stop], state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)


def test_cached_generation_equals_naive_generation(model: Autoregressive) -> None:
    _, conditions = inputs(model)
    cached = generate(model, conditions, (7, 8), 0.9)
    naive = generate_naively(model, conditions, (7, 8), 0.9)
    torch.testing.assert_close(cached, naive, rtol=0, atol=1e-4)
    assert not torch.equal(cached[0], cached[1])
    torch.testing.assert_close(generate(model, conditions[1:], (8,), 0.9), cached[1:], rtol=0, atol=1e-4)


def test_all_weights_have_gradients(model: Autoregressive) -> None:
    samples, conditions = inputs(model)
    bits(model, samples, conditions).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_mixture_of_logistics_sums_to_one() -> None:
    parameters = torch.randn(1, 1, 9)
    parameters[..., 6:] -= 2
    levels = torch.linspace(-1, 1, 65536, dtype=torch.float64)[None]
    found = logistic_bits(parameters.expand(1, 65536, 9), levels)
    assert torch.exp2(-found).sum().item() == pytest.approx(1, abs=1e-9)


def test_conditions_are_interpolated() -> None:
    frames = torch.tensor([[[0.0], [1.0], [3.0]]])
    found = interpolated(frames, 4, 12)[0, :, 0]
    assert found.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3, 3, 3]
    moved = interpolated(frames.expand(2, -1, -1), 4, 6, torch.tensor([1, 3]))[..., 0]
    assert torch.equal(moved, torch.stack((found[1:7], found[3:9])))


def test_phases_are_those_of_numpy() -> None:
    cycles = np.arange(100) * 0.37
    found = phase_channels(torch.from_numpy(cycles)[None], (1, 8))[0]
    np.testing.assert_allclose(found.numpy(), phase_conditions(cycles, (1, 8)), atol=1e-6)


def test_files_keep_a_network(model: Autoregressive, tmp_path: Path) -> None:
    weights = weights_of(model)
    assert {name: array.shape for name, array in weights.items()} == weight_shapes(model.description)
    assert sum(p.numel() for p in model.parameters()) == count_weights(model.description) + model.voices.numel()
    save_network(tmp_path / "net", AutoregressiveFile(model.description, weights, {"steps": 3}))
    found = read_network(tmp_path / "net")
    assert found.description == model.description
    assert found.metadata == {"steps": 3}
    other = build(found.description)
    load_weights(other, found.weights)
    previous, conditions = inputs(model)
    torch.testing.assert_close(other(previous, conditions)[0], model(previous, conditions)[0])


def test_damaged_files_name_the_tensor(tmp_path: Path) -> None:
    model = build(DESCRIPTIONS["wavenet"])
    weights = weights_of(model)
    weights["hidden.bias"] = weights["hidden.bias"][:-1]
    (tmp_path / "net").write_bytes(network_bytes(AutoregressiveFile(model.description, weights)))
    with pytest.raises(ModelError, match=r"hidden\.bias"):
        read_network(tmp_path / "net")


def test_sizes_of_the_trained_networks() -> None:
    assert 160_000 < count_weights(Description(WaveNetSizes())) < 210_000
    assert 270_000 < count_weights(Description(RecurrentSizes())) < 310_000
    assert WaveNetSizes().receptive_field == 2047


@pytest.mark.slow
def test_a_network_of_the_papers_size_takes_a_training_step() -> None:
    model = build(Description(PAPER))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    samples, conditions = inputs(model, 256, 1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = bits(model, samples, conditions.detach()).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
