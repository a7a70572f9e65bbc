"""Say everything about networks of stages as a kind of network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neural_fx.networks.costs import count_conv_past, count_multiply_adds
from neural_fx.networks.nam_export import NAM_EXPORT
from neural_fx.networks.registry import Binding, NetworkKind
from neural_fx.networks.sequential.binding import compile_sequential, supports_sequential
from neural_fx.networks.sequential.description import Recurrent, Sequential
from neural_fx.networks.sequential.untrained import UNTRAINED

if TYPE_CHECKING:
    from neural_fx.networks.model import Model


def _model(network: Sequential) -> Model:
    from neural_fx.networks.sequential.model import SequentialModel

    return SequentialModel(network)


def _is_recurrent(network: Sequential) -> bool:
    return any(isinstance(stage, Recurrent) for stage in network.stages)


KIND = NetworkKind(
    "sequential",
    Sequential,
    _model,
    binding=Binding(supports_sequential, compile_sequential),
    multiply_adds=count_multiply_adds,
    state_size=count_conv_past,
    recurrent=_is_recurrent,
    export=NAM_EXPORT,
    untrained=UNTRAINED,
)
