"""Make untrained recurrent networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from neural_fx.networks.initial import Initializer
from neural_fx.networks.parts import Network
from neural_fx.networks.sequential.description import Recurrent, RecurrentLayer, Sequential


def lstm(hidden: int = 16, seed: int = 0) -> Sequential:
    """Make a network of one LSTM layer and a linear output, like most recurrent captures.

    Args:
        hidden: units of the LSTM.
        seed: random seed for the weights.
    """
    draw = Initializer(seed)
    layer = RecurrentLayer(
        w_ih=draw.array(hidden, 4 * hidden, 1),
        w_hh=draw.array(hidden, 4 * hidden, hidden),
        b_ih=draw.array(hidden, 4 * hidden),
        b_hh=draw.array(hidden, 4 * hidden),
        h0=np.zeros(hidden, np.float32),
        c0=np.zeros(hidden, np.float32),
    )
    return Sequential(1, 1, (Recurrent("lstm", (layer,)), draw.conv(hidden, 1)))


def _lstm_of_16(seed: int) -> Network:
    return lstm(16, seed)


UNTRAINED: Mapping[str, Callable[[int], Network]] = {"lstm": _lstm_of_16}
"""Functions that make an untrained network from a seed, by name."""
