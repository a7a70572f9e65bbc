"""Convert networks of stages to the compiled kernels' own description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neural_fx.native import core
from neural_fx.networks.kernels import (
    convert_activation,
    convert_conv,
    has_known_activations,
    with_fast_activations,
)
from neural_fx.networks.parts import Activation, Conv
from neural_fx.networks.sequential.description import Affine, Recurrent, RecurrentLayer, Sequential

if TYPE_CHECKING:
    from neural_fx.native import _core


def supports_sequential(network: Sequential) -> bool:
    """Return whether the kernels run a network.

    They run chains of convolutions, activations and scalings, and LSTM or GRU layers with one linear output.
    """
    if not has_known_activations(network):
        return False
    recurrent = any(isinstance(stage, Recurrent) for stage in network.stages)
    return not recurrent or _is_plain_recurrent(network)


def _is_plain_recurrent(network: Sequential) -> bool:
    if len(network.stages) != 2 or network.out_channels != 1:
        return False
    recurrent, head = network.stages
    return isinstance(recurrent, Recurrent) and isinstance(head, Conv) and head.weight.shape[2] == 1


def compile_sequential(network: Sequential, fast: bool = False) -> _core.Sequential | _core.Recurrent:
    """Convert a network to the kernels' own description.

    Args:
        network: one that `supports_sequential` accepts.
        fast: use the fast forms of tanh and sigmoid.
    """
    if fast:
        network = with_fast_activations(network)
    return _recurrent(network, fast) if _is_plain_recurrent(network) else _sequential(network)


def _sequential(network: Sequential) -> _core.Sequential:
    made = core.Sequential()
    made.in_, made.out = network.in_channels, network.out_channels
    made.skip, made.input_gain, made.output_gain = network.skip, network.input_gain, network.output_gain
    made.stages = [_stage(stage) for stage in network.stages]
    return made


def _stage(stage: object) -> _core.Stage:
    made = core.Stage()
    made.conv, made.activation = convert_conv(None), convert_activation(Activation("linear"))
    if isinstance(stage, Conv):
        made.conv = convert_conv(stage)
    elif isinstance(stage, Affine):
        made.scale, made.shift = stage.scale.tolist(), stage.shift.tolist()
    elif isinstance(stage, Activation):
        made.activation = convert_activation(stage)
    return made


def _recurrent(network: Sequential, fast: bool) -> _core.Recurrent:
    recurrent, head = network.stages
    assert isinstance(recurrent, Recurrent)
    assert isinstance(head, Conv)
    made = core.Recurrent()
    made.lstm, made.skip, made.fast = recurrent.kind == "lstm", network.skip, fast
    made.input_gain, made.output_gain = network.input_gain, network.output_gain
    made.layers = [_recurrent_layer(layer) for layer in recurrent.layers]
    made.head = head.weight.ravel().tolist()
    made.head_bias = 0.0 if head.bias is None else float(head.bias[0])
    return made


def _recurrent_layer(layer: RecurrentLayer) -> _core.RecurrentLayer:
    made = core.RecurrentLayer()
    made.in_, made.hidden = layer.w_ih.shape[1], layer.hidden_size
    for name in ("w_ih", "w_hh", "b_ih", "b_hh", "h0"):
        setattr(made, name, getattr(layer, name).ravel().tolist())
    made.c0 = [] if layer.c0 is None else layer.c0.tolist()
    return made
