"""Read and write kits of a person's own: a network that was trained on their one-shots, in one file.

The file is a safetensors archive (see `neural_fx.formats.archive`). The fields of its description are ``format``
(``neural-fx-drums``), ``version`` (1), ``kit`` (name of the kit among its tensors) and ``metadata``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from instruments.drums.bands import BANDS, FRAMES
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import KNOBS
from instruments.drums.network import DrumNetwork
from instruments.drums.sines import SLOTS
from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.files import replacing
from neural_fx.formats.archive import Tensors, archive_bytes, archive_kind, open_archive, read_archive

FORMAT = "neural-fx-drums"
MAX_BYTES = 2**24
MAX_WEIGHTS = 2**22
_MOST_LAYERS = 8


@dataclass(frozen=True)
class KitFile:
    """What a file holds.

    Attributes:
        network: of the drums.
        kit: name of the kit, one of `DrumNetwork.presets`.
        metadata: everything else that the file states.
    """

    network: DrumNetwork
    kit: str
    metadata: dict[str, Any] = field(default_factory=dict)


def is_kit(path: Path) -> bool:
    """Return whether an existing file is a kit."""
    return archive_kind(path) == FORMAT


def save_kit(path: Path, arrays: Mapping[str, Array], kit: str, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a kit, whole or not at all.

    Args:
        path: the file, replaced if it exists.
        arrays: weights by name, with those of the kit.
        kit: name of the kit.
        metadata: everything else, as JSON values.
    """
    with replacing(path) as part:
        part.write_bytes(archive_bytes(FORMAT, {"kit": kit, "metadata": dict(metadata or {})}, arrays))


def read_kit(path: str | Path) -> KitFile:
    """Read a kit. A file that has not changed since the last call is not read again.

    Args:
        path: the file.

    Raises:
        ModelError: the file cannot be read, is damaged, or is not a kit. Names the file and the field.
    """
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError):
        return _read(path)  # raises the error
    return _kept(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _kept(path: Path, changed: int, size: int) -> KitFile:
    return _read(path)


def _read(path: Path) -> KitFile:
    data = read_archive(path, MAX_BYTES, "a drum kit")
    try:
        root, tensors = open_archive(data, FORMAT, MAX_WEIGHTS)
        kit = root["kit"].string()
        metadata = root["metadata"].mapping() if "metadata" in root else {}
        weights = _weights(tensors, kit)
        tensors.done()
    except ModelError as error:
        raise error.inside(path) from None
    return KitFile(DrumNetwork(weights), kit, metadata)


def _weights(tensors: Tensors, kit: str) -> dict[str, Any]:
    """Return all weights, after a check that their shapes fit together."""
    weights = {
        "mean": tensors.take("mean", BANDS, FRAMES),
        "bands": tensors.take("bands", BANDS, None),
        "frames": tensors.take("frames", FRAMES, None),
        "knob_low": tensors.take("knob_low", len(CLASSES), len(KNOBS)),
        "knob_high": tensors.take("knob_high", len(CLASSES), len(KNOBS)),
    }
    if not (weights["knob_high"] > weights["knob_low"]).all():
        raise ModelError("expected values above those of knob_low", "knob_high")
    condition = len(CLASSES) + len(KNOBS)
    described = weights["bands"].shape[1] * weights["frames"].shape[1] + 4 * SLOTS
    encoder = _layers(tensors, "encoder", described + condition, None)
    latent = next(reversed(encoder.values())).shape[0] // 2
    decoder = _layers(tensors, "decoder", latent + condition, described)
    numbers = latent + len(KNOBS)
    for drum in CLASSES:
        share = tensors.take(f"prior.{drum}.share", None)
        if (share < 0).any() or share.sum() <= 0:
            raise ModelError("expected shares of at least 0, and not all 0", f"prior.{drum}.share")
        weights[f"prior.{drum}.share"] = share
        weights[f"prior.{drum}.mean"] = tensors.take(f"prior.{drum}.mean", len(share), numbers)
        weights[f"prior.{drum}.factor"] = tensors.take(f"prior.{drum}.factor", len(share), numbers, numbers)
    return {**weights, **encoder, **decoder, f"kit.{kit}": tensors.take(f"kit.{kit}", len(CLASSES), numbers)}


def _layers(tensors: Tensors, name: str, inputs: int, outputs: int | None) -> dict[str, Array]:
    """Return the weights and biases of some layers, the first one first."""
    found: dict[str, Array] = {}
    count = 0
    while f"{name}{count}.weight" in tensors.left and count < _MOST_LAYERS:
        weight = tensors.take(f"{name}{count}.weight", None, inputs)
        inputs = weight.shape[0]
        found[f"{name}{count}.weight"] = weight
        found[f"{name}{count}.bias"] = tensors.take(f"{name}{count}.bias", inputs)
        count += 1
    if not count:
        raise ModelError("missing", f"{name}0.weight")
    if outputs is not None and inputs != outputs:
        raise ModelError(f"expected {outputs} rows, found {inputs}", f"{name}{count - 1}.weight")
    return {key: found[key] for key in sorted(found, key=lambda key: key.endswith("weight"))}
