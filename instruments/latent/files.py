"""Read and write the files of the network: its weights, and the timbres of presets by name.

The file is a safetensors archive (see `neural_fx.formats.archive`). The fields of its description are ``format``
(``neural-fx-latent``), ``version`` (1), ``sizes`` (see `Sizes`), ``presets`` (names) and ``metadata``. Its tensors are
those of `weight_shapes`, and ``presets``, (presets, timbre), if there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.latent.network import LatentNetwork, Sizes, weight_shapes
from neural_fx.errors import ModelError
from neural_fx.files import replacing
from neural_fx.formats.archive import archive_bytes, open_archive, read_archive

FORMAT = "neural-fx-latent"
MAX_BYTES = 2**24
_MAX_UNITS = 2048
_MAX_PRESETS = 4096


@dataclass(frozen=True)
class LatentFile:
    """What a file holds.

    Attributes:
        network: encoder and decoder.
        presets: timbres by name, (timbre,) each.
        metadata: everything else that the file states.
    """

    network: LatentNetwork
    presets: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def read_network(path: str | Path) -> LatentFile:
    """Read a network and its presets.

    Args:
        path: the file.

    Raises:
        ModelError: the file cannot be read, is damaged, or is not of this kind. Names the file and the field.
    """
    path = Path(path)
    data = read_archive(path, MAX_BYTES, "a latent instrument")
    try:
        return _parse(data)
    except ModelError as error:
        raise error.inside(path) from None


def save_network(
    path: str | Path,
    network: LatentNetwork,
    presets: Mapping[str, NDArray[Any]] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a network and its presets.

    Args:
        path: the file, replaced if it exists.
        network: encoder and decoder.
        presets: timbres by name, (timbre,) each.
        metadata: everything else, as JSON values.
    """
    presets = presets or {}
    tensors = {name: network.weights[name] for name in weight_shapes(network.sizes)}
    if presets:
        tensors["presets"] = np.stack(list(presets.values())).astype(np.float32)
    about = {"sizes": asdict(network.sizes), "presets": list(presets), "metadata": dict(metadata or {})}
    with replacing(path) as part:
        part.write_bytes(archive_bytes(FORMAT, about, tensors))


def _parse(data: bytes) -> LatentFile:
    root, tensors = open_archive(data, FORMAT)
    sizes = Sizes(**{f.name: root["sizes"][f.name].integer(1, _MAX_UNITS) for f in fields(Sizes)})
    weights = {name: tensors.take(name, *shape) for name, shape in weight_shapes(sizes).items()}
    names = [item.string() for item in root["presets"].items(_MAX_PRESETS)]
    timbres = tensors.take("presets", len(names), sizes.timbre) if names else np.zeros((0, sizes.timbre))
    tensors.done()
    metadata = root["metadata"].mapping() if "metadata" in root else {}
    return LatentFile(
        network=LatentNetwork(weights),
        presets={name: timbre.astype(np.float64) for name, timbre in zip(names, timbres)},
        metadata=metadata,
    )
