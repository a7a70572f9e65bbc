"""Add untrained knobs to a WaveNet."""

from __future__ import annotations

import itertools

from neural_fx.networks.initial import Initializer
from neural_fx.networks.knobbed.description import Dense, Knobbed
from neural_fx.networks.knobbed.folding import modulation_sizes
from neural_fx.networks.wavenet.description import WaveNet


def knobbed(network: WaveNet, knobs: int, hidden: int = 32, seed: int = 0) -> Knobbed:
    """Add knobs to a WaveNet.

    Two hidden layers turn the knob positions into a modulation of the WaveNet's weights. The modulation is small at
    the start of a training.

    Args:
        network: the WaveNet.
        knobs: number of knobs.
        hidden: units of each hidden layer.
        seed: random seed for the weights of the hidden layers.
    """
    draw = Initializer(seed)
    sizes = (knobs, hidden, hidden, sum(modulation_sizes(network)))
    dense = tuple(Dense(draw.array(into, out, into), draw.array(into, out)) for into, out in itertools.pairwise(sizes))
    last = Dense(0.3 * dense[-1].weight, 0 * dense[-1].bias)
    return Knobbed(network, tuple(range(knobs)), (*dense[:-1], last))
