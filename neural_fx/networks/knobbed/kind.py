"""Say everything about WaveNets with knobs as a kind of network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neural_fx.networks.costs import count_conv_past, count_multiply_adds
from neural_fx.networks.knobbed.binding import compile_knobbed, supports_knobbed
from neural_fx.networks.knobbed.description import Knobbed
from neural_fx.networks.knobbed.folding import fold
from neural_fx.networks.registry import Binding, Export, NetworkKind, is_recurrent

if TYPE_CHECKING:
    from neural_fx.networks.model import Model


def _model(network: Knobbed) -> Model:
    from neural_fx.networks.knobbed.model import KnobbedModel

    return KnobbedModel(network)


def _is_recurrent(network: Knobbed) -> bool:
    return is_recurrent(network.network)


def _write(network: Knobbed, sample_rate: float, about: Mapping[str, Any], knobs: Mapping[str, float]) -> bytes:
    from neural_fx.formats.pedal import pedal_bytes

    return pedal_bytes(network, knobs, sample_rate, about)


KIND = NetworkKind(
    "knobbed",
    Knobbed,
    _model,
    binding=Binding(supports_knobbed, compile_knobbed),
    multiply_adds=count_multiply_adds,
    state_size=count_conv_past,
    recurrent=_is_recurrent,
    splits=False,  # the knobs are read every 64 samples, counted from the start of the stream
    hold=fold,
    export=Export(".safetensors", _write),
)
