"""Describe captures that come in several sizes. Each size is a network of any other kind, which the engines run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from neural_fx.networks.parts import Network
from neural_fx.networks.registry import NetworkKind, is_recurrent, kind_of


@dataclass(frozen=True)
class Slimmable:
    """One capture in several sizes.

    Attributes:
        sizes: the networks, the smallest first.
        limits: `sizes[i]` plays while `size < limits[i]`. The last one plays above.
    """

    sizes: tuple[Network, ...]
    limits: tuple[float, ...]

    @property
    def in_channels(self) -> int:
        """Number of inputs, which is the same for all sizes."""
        return self.sizes[-1].in_channels

    @property
    def out_channels(self) -> int:
        """Number of outputs, which is the same for all sizes."""
        return self.sizes[-1].out_channels

    @property
    def receptive_field(self) -> int:
        """Receptive field of the size that has the largest."""
        return max(n.receptive_field for n in self.sizes)

    def pick(self, size: float) -> int:
        """Return the index of the network that plays at `size` (0..1)."""
        return next((i for i, limit in enumerate(self.limits) if size < limit), len(self.sizes) - 1)


def largest(network: Network) -> Network:
    """Return the largest size of a slimmable network, or any other network itself."""
    while isinstance(network, Slimmable):
        network = network.sizes[-1]
    return network


def _no_model(network: Slimmable) -> NoReturn:
    raise TypeError("a slimmable network is several models; build one of its sizes")


def _multiply_adds(network: Slimmable) -> int:
    size = largest(network)
    return kind_of(size).multiply_adds(size)


def _state_size(network: Slimmable) -> int:
    return sum(kind_of(size).state_size(size) for size in network.sizes)


def _is_recurrent(network: Slimmable) -> bool:
    return any(map(is_recurrent, network.sizes))


KIND = NetworkKind(
    "slimmable",
    Slimmable,
    _no_model,
    multiply_adds=_multiply_adds,
    state_size=_state_size,
    recurrent=_is_recurrent,
    trains=False,
)
