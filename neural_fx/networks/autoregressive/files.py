"""Read and write the files of autoregressive networks. The package's page lists the tensors.

The description of the archive has the fields ``kind`` (``wavenet`` or ``recurrent``), ``sizes``, ``inputs`` and
``signal`` (the fields of `WaveNetSizes` or `RecurrentSizes`, `Inputs` and `Signal`), ``voices`` (names) and
``metadata`` (anything).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.files import replacing
from neural_fx.formats.archive import archive_bytes, open_archive, read_archive
from neural_fx.formats.reader import Node
from neural_fx.networks.autoregressive.description import (
    Description,
    Inputs,
    RecurrentSizes,
    WaveNetSizes,
    weight_shapes,
)
from neural_fx.networks.autoregressive.signal import Signal

if TYPE_CHECKING:
    from neural_fx.networks.autoregressive.model import Autoregressive

FORMAT = "neural-fx-autoregressive"
MAX_BYTES = 2**24
_MOST = 4096
_TORCH_NAMES = {
    "recurrent.input.weight": "recurrent.weight_ih_l0",
    "recurrent.input.bias": "recurrent.bias_ih_l0",
    "recurrent.state.weight": "recurrent.weight_hh_l0",
    "recurrent.state.bias": "recurrent.bias_hh_l0",
}
"""Weights whose names in torch differ."""


@dataclass(frozen=True)
class AutoregressiveFile:
    """What a file holds.

    Attributes:
        description: of the network.
        weights: arrays by name, with the shapes of `weight_shapes`.
        metadata: everything else that the file states.
    """

    description: Description
    weights: dict[str, Array]
    metadata: dict[str, Any] = field(default_factory=dict)


def read_network(path: str | Path) -> AutoregressiveFile:
    """Read a network.

    Args:
        path: the file.

    Raises:
        ModelError: the file cannot be read, is damaged, or is not of this kind. Names the file and the field.
    """
    path = Path(path)
    data = read_archive(path, MAX_BYTES, "an autoregressive network")
    try:
        return _parse(data)
    except ModelError as error:
        raise error.inside(path) from None


def save_network(path: str | Path, network: AutoregressiveFile) -> None:
    """Write a network. The file is replaced if it exists."""
    with replacing(path) as part:
        part.write_bytes(network_bytes(network))


def network_bytes(network: AutoregressiveFile) -> bytes:
    """Return the content of a file."""
    description = network.description
    about = {
        "kind": description.kind,
        "sizes": asdict(description.sizes),
        "inputs": asdict(description.inputs),
        "signal": asdict(description.signal),
        "voices": list(description.voices),
        "metadata": dict(network.metadata),
    }
    return archive_bytes(FORMAT, about, {name: network.weights[name] for name in weight_shapes(description)})


def torch_name(name: str) -> str:
    """Return the name of a weight in the torch modules."""
    return _TORCH_NAMES.get(name, name)


def weights_of(model: Autoregressive) -> dict[str, Array]:
    """Return the weights of a torch module by their names in files."""
    found = model.state_dict()
    names = weight_shapes(model.description)
    return {name: found[torch_name(name)].detach().cpu().float().numpy() for name in names}


def load_weights(model: Autoregressive, weights: Mapping[str, Array]) -> None:
    """Copy weights into a torch module of the same description."""
    import torch

    named = {torch_name(name): torch.from_numpy(np.array(value)) for name, value in weights.items()}
    model.load_state_dict(named)


def _parse(data: bytes) -> AutoregressiveFile:
    root, tensors = open_archive(data, FORMAT)
    kind = root["kind"].choice("wavenet", "recurrent")
    voices = tuple(item.string() for item in root["voices"].items(_MOST))
    sizes = _wavenet(root["sizes"]) if kind == "wavenet" else _recurrent(root["sizes"])
    description = Description(sizes, _inputs(root["inputs"]), _signal(root["signal"]), voices)
    weights = {name: tensors.take(name, *shape) for name, shape in weight_shapes(description).items()}
    tensors.done()
    return AutoregressiveFile(description, weights, root["metadata"].mapping())


def _wavenet(node: Node) -> WaveNetSizes:
    return WaveNetSizes(
        residual=node["residual"].integer(1, _MOST),
        skip=node["skip"].integer(1, _MOST),
        dilations=tuple(item.integer(1, 2**16) for item in node["dilations"].items(256)),
        output="classes" if node["output"].choice("classes", "logistics") == "classes" else "logistics",
        mixtures=node["mixtures"].integer(1, 256),
    )


def _recurrent(node: Node) -> RecurrentSizes:
    return RecurrentSizes(
        units=node["units"].integer(1, _MOST),
        embedded=node["embedded"].integer(1, _MOST),
        hidden=node["hidden"].integer(1, _MOST),
        output="classes" if node["output"].choice("classes", "logistics") == "classes" else "logistics",
        mixtures=node["mixtures"].integer(1, 256),
    )


def _inputs(node: Node) -> Inputs:
    return Inputs(
        frame=node["frame"].integer(1, 256),
        harmonics=tuple(item.integer(1, 256) for item in node["harmonics"].items(64)),
        voice=node["voice"].integer(1, 256),
        context=node["context"].integer(0, 256),
        context_layers=node["context_layers"].integer(0, 16),
    )


def _signal(node: Node) -> Signal:
    return Signal(
        rate=node["rate"].integer(1000, 384000),
        hop=node["hop"].integer(1, 2**16),
        emphasis=node["emphasis"].number(0, 0.999),
        peak=node["peak"].number(1e-3, 1e3),
        mu=node["mu"].number(1e-3, 1e6),
        levels=node["levels"].integer(4, 2**16),
        window=node["window"].integer(2, 2**20),
    )
