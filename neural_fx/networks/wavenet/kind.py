"""Say everything about WaveNets as a kind of network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neural_fx.networks.costs import count_conv_past, count_multiply_adds
from neural_fx.networks.nam_export import NAM_EXPORT
from neural_fx.networks.registry import Binding, NetworkKind, build, is_recurrent
from neural_fx.networks.wavenet.binding import compile_wavenet, supports_wavenet
from neural_fx.networks.wavenet.description import WaveNet
from neural_fx.networks.wavenet.untrained import UNTRAINED

if TYPE_CHECKING:
    from neural_fx.networks.model import Model


def _model(network: WaveNet) -> Model:
    from neural_fx.networks.wavenet.model import WaveNetModel

    return WaveNetModel(network, build(network.condition) if network.condition else None)


def _is_recurrent(network: WaveNet) -> bool:
    return network.condition is not None and is_recurrent(network.condition)


KIND = NetworkKind(
    "wavenet",
    WaveNet,
    _model,
    binding=Binding(supports_wavenet, compile_wavenet),
    multiply_adds=count_multiply_adds,
    state_size=count_conv_past,
    recurrent=_is_recurrent,
    export=NAM_EXPORT,
    untrained=UNTRAINED,
)
