"""Convert WaveNets with knobs to the compiled kernels' own description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neural_fx.native import core
from neural_fx.networks.kernels import with_fast_activations
from neural_fx.networks.knobbed.description import Knobbed
from neural_fx.networks.wavenet.binding import compile_wavenet, supports_wavenet

if TYPE_CHECKING:
    from neural_fx.native import _core


def supports_knobbed(network: Knobbed) -> bool:
    """Return whether the kernels run a network: if they run its WaveNet, and that has no modulation of its own."""
    plain = all(not layer.films for stack in network.network.arrays for layer in stack.layers)
    return plain and supports_wavenet(network.network)


def compile_knobbed(network: Knobbed, fast: bool = False) -> _core.Knobbed:
    """Convert a network to the kernels' own description.

    Args:
        network: one that `supports_knobbed` accepts.
        fast: use the fast forms of tanh and sigmoid.
    """
    if fast:
        network = with_fast_activations(network)
    made = core.Knobbed()
    made.net, made.learned = compile_wavenet(network.network), list(network.learned)
    for dense in network.dense:
        out, into = dense.weight.shape
        made.add_dense(out, into, dense.weight.ravel().tolist(), dense.bias.tolist())
    for level in network.levels:
        made.add_level(level.index, level.gains.tolist())
    return made
