"""Convert WaveNets to the compiled kernels' own description."""

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
from neural_fx.networks.wavenet.description import FILM_SITES, Film, Layer, LayerArray, WaveNet

if TYPE_CHECKING:
    from neural_fx.native import _core


def supports_wavenet(network: WaveNet) -> bool:
    """Return whether the kernels run a WaveNet. Its condition must be the input or another WaveNet that they run."""
    if not has_known_activations(network):
        return False
    condition = network.condition
    return condition is None or (isinstance(condition, WaveNet) and supports_wavenet(condition))


def compile_wavenet(network: WaveNet, fast: bool = False) -> _core.WaveNet:
    """Convert a WaveNet to the kernels' own description.

    Args:
        network: one that `supports_wavenet` accepts.
        fast: use the fast forms of tanh and sigmoid.
    """
    if fast:
        network = with_fast_activations(network)
    made = core.WaveNet()
    made.in_, made.head_scale = network.in_channels, network.head_scale
    made.arrays = [_array(array) for array in network.arrays]
    made.post = [_post_stage(*stage) for stage in network.post_head]
    made.condition = [compile_wavenet(network.condition)] if isinstance(network.condition, WaveNet) else []
    return made


def _array(array: LayerArray) -> _core.Array:
    made = core.Array()
    made.rechannel, made.head = convert_conv(array.rechannel), convert_conv(array.head)
    made.layers = [_layer(layer) for layer in array.layers]
    return made


def _layer(layer: Layer) -> _core.Layer:
    made = core.Layer()
    made.conv, made.mixin = convert_conv(layer.conv), convert_conv(layer.mixin)
    made.residual, made.head = convert_conv(layer.residual), convert_conv(layer.head)
    made.activation, made.secondary = convert_activation(layer.activation), convert_activation(layer.secondary)
    made.gating = getattr(core.Gating, layer.gating)
    if layer.films:
        made.films = [_film(layer.films.get(site)) for site in FILM_SITES]
    return made


def _film(film: Film | None) -> _core.Film:
    return core.Film(convert_conv(film.conv if film else None), film.shift if film else True)


def _post_stage(activation: Activation, conv: Conv) -> _core.PostStage:
    made = core.PostStage()
    made.activation, made.conv = convert_activation(activation), convert_conv(conv)
    return made
