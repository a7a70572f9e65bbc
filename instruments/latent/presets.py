"""Read and write the presets of users: one timbre of one network, as a JSON file.

The fields are ``format`` (``neural-fx-preset``), ``version`` (1), ``name``, ``network`` (see `network_id`), ``timbre``
(a list of numbers) and ``metadata``. A timbre means nothing to another network, so the file names its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instruments.latent.network import LatentNetwork, weight_shapes
from neural_fx.arrays import Doubles
from neural_fx.errors import ModelError
from neural_fx.files import replacing
from neural_fx.formats.reader import Node, parse_json
from neural_fx.inputs import read_bytes

FORMAT = "neural-fx-preset"
SUFFIX = ".preset"
MAX_BYTES = 2**16
_MOST_NUMBERS = 2048
_LARGEST = 1e3
_LONGEST_NAME = 128


@dataclass(frozen=True)
class Preset:
    """A timbre with a name.

    Attributes:
        name: for lists and reports.
        timbre: (timbre,).
        network: `network_id` of the network that plays it.
        metadata: how it was made, as JSON values.
    """

    name: str
    timbre: Doubles
    network: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def network_id(network: LatentNetwork) -> str:
    """Return 16 letters that stand for a network's weights."""
    digest = hashlib.sha256()
    for name in weight_shapes(network.sizes):
        digest.update(np.ascontiguousarray(network.weights[name], "<f4").tobytes())
    return digest.hexdigest()[:16]


def is_preset(path: Path) -> bool:
    """Return whether an existing file begins like a preset."""
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    return head.startswith(b"{") and FORMAT.encode() in head


def save_preset(path: str | Path, preset: Preset) -> None:
    """Write a preset.

    Args:
        path: the file, replaced if it exists.
        preset: to write.
    """
    fields = {
        "format": FORMAT,
        "version": 1,
        "name": preset.name,
        "network": preset.network,
        "timbre": [round(float(number), 6) for number in preset.timbre],
        "metadata": dict(preset.metadata),
    }
    with replacing(path) as part:
        part.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def read_preset(path: str | Path, network: LatentNetwork) -> Preset:
    """Read a preset.

    Args:
        path: the file.
        network: that shall play it.

    Raises:
        ModelError: the file cannot be read, is damaged, or belongs to another network. Names the file and the field.
    """
    data = read_bytes(path, MAX_BYTES, ModelError, "a preset")
    try:
        preset = _parse(data)
        own = network_id(network)
        if preset.network != own:
            raise ModelError(
                f"was made with another network ({preset.network}, this one is {own}); make it again from its note, "
                "with `neural-fx latent from-audio`",
                "network",
            )
        if len(preset.timbre) != network.sizes.timbre:
            raise ModelError(f"expected {network.sizes.timbre} numbers, found {len(preset.timbre)}", "timbre")
    except ModelError as error:
        raise error.inside(path) from None
    return preset


def _parse(data: bytes) -> Preset:
    root = Node(parse_json(data))
    root["format"].choice(FORMAT)
    root["version"].integer(1, 1)
    name = root["name"].string()
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        root["name"].fail(f"1 to {_LONGEST_NAME} printable characters")
    timbre = [item.number(-_LARGEST, _LARGEST) for item in root["timbre"].items(_MOST_NUMBERS, 1)]
    metadata = root["metadata"].mapping() if "metadata" in root else {}
    return Preset(name, np.array(timbre), root["network"].string(), metadata)
