"""Read and write the weights of the network of drum hits: the arrays that `DrumNetwork` runs with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from instruments.drums.training.features import Features
from instruments.drums.training.model import DrumAutoencoder
from instruments.drums.training.prior import fit_priors
from instruments.drums.training.trainer import MADE, REAL_WEIGHT
from neural_fx.arrays import Array
from neural_fx.files import replacing

Arrays = dict[str, Array]

_BUFFERS = ("mean", "bands", "frames", "knob_low", "knob_high")


def read_model(path: Path) -> DrumAutoencoder:
    """Return the network of a file in torch, to train it further."""
    arrays = load_file(path)
    mean, bands, frames, low, high = (arrays[name].astype(np.float32) for name in _BUFFERS)
    model = DrumAutoencoder(mean, bands, frames, low, high)
    for name, layer in _layers(model):
        # The file says how large the layers are.
        layer.weight = torch.nn.Parameter(torch.tensor(arrays[f"{name}.weight"].astype(np.float32)))
        layer.bias = torch.nn.Parameter(torch.tensor(arrays[f"{name}.bias"].astype(np.float32)))
    return model


@torch.no_grad()
def exported(
    model: DrumAutoencoder, numbers: Array, spread: Array, hits: Features, kits: Mapping[str, Array]
) -> Arrays:
    """Return the arrays that `instruments.drums.network.DrumNetwork` reads.

    Args:
        model: the network.
        numbers, spread: of the hits, as `latent_numbers` returns.
        hits: that the prior is fitted to.
        kits: (14, 23) z and knobs of every class, by the kit's name.
    """
    arrays = {name: getattr(model, name).numpy() for name in _BUFFERS}
    for name, layer in _layers(model):
        arrays[f"{name}.weight"] = layer.weight.numpy()
        arrays[f"{name}.bias"] = layer.bias.numpy()
    weights = np.where(np.isin(hits.source, MADE), 1.0, REAL_WEIGHT)
    arrays.update(fit_priors(numbers, spread, hits.drum, weights))
    arrays.update({f"kit.{name}": rows for name, rows in kits.items()})
    return {name: np.ascontiguousarray(value, np.float16) for name, value in arrays.items()}


@torch.no_grad()
def latent_numbers(model: DrumAutoencoder, hits: Features) -> tuple[Array, Array]:
    """Return z and knobs of hits: means (hits, 23) and variances of z (hits, 16)."""
    levels = torch.tensor(hits.levels.astype(np.float32))
    drum = torch.tensor(hits.drum)
    knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
    mean, log_variance = model.encode(levels, torch.tensor(hits.sines), drum, knobs)
    return torch.cat((mean, knobs), 1).numpy(), log_variance.exp().numpy()


def write_network(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays of `exported` to the file that comes with the package, whole or not at all."""
    with replacing(path) as part:
        save_file(dict(arrays), part)


def _layers(model: DrumAutoencoder) -> list[tuple[str, torch.nn.Linear]]:
    """Return the layers by their names in a file."""
    found = []
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        linear = [layer for layer in part if isinstance(layer, torch.nn.Linear)]
        found += [(f"{name}{index}", layer) for index, layer in enumerate(linear)]
    return found
