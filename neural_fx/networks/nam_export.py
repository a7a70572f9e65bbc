"""Export networks without knobs as standard `.nam` files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neural_fx.networks.parts import Network
from neural_fx.networks.registry import Export


def _write(network: Network, sample_rate: float, about: Mapping[str, Any], knobs: Mapping[str, float]) -> bytes:
    from neural_fx.formats.nam_writer import nam_bytes

    return nam_bytes(network, sample_rate, about)


NAM_EXPORT = Export(".nam", _write)
