"""Register kinds of networks. A `NetworkKind` says everything about one: its description, its module, its binding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.networks.parts import Network, walk
from neural_fx.registry import Registry

if TYPE_CHECKING:
    from neural_fx.networks.model import Model


class Batch(Protocol):
    """Streams of one network in compiled kernels, which are processed in one call."""

    @property
    def allocations(self) -> int | None:
        """Number of allocations inside `process` since the start: 0 in kernels for real time. None if not counted."""

    def reset(self) -> None:
        """Forget the past of all streams."""

    def process(self, x: Array, y: Array) -> None:
        """Process a block.

        Args:
            x: input, (streams, in_channels, samples).
            y: output to write, (streams, out_channels, samples).
        """


class Kernels(Protocol):
    """A network in compiled kernels."""

    def batch(self, count: int, instruction_set: str = "") -> Batch:
        """Open `count` streams.

        Args:
            count: number of streams.
            instruction_set: one of `neural_fx.engines.cpu.instruction_sets`; ``""`` for the best one.
        """


@dataclass(frozen=True)
class Binding:
    """What a kind needs to run in compiled kernels.

    Attributes:
        supports: function that returns whether the kernels run a network of the kind. It is only called if our own
            kernels were built.
        compile: function that makes the kernels of a supported network. Its second argument is True if tanh and
            sigmoid may be computed to four digits, for the device ``cpu-fast``.
    """

    supports: Callable[[Any], bool]
    compile: Callable[[Any, bool], Kernels]


@dataclass(frozen=True)
class Export:
    """How a kind is written to a file, at the end of a training.

    Attributes:
        suffix: ending of the file's name, such as ``.nam``.
        write: function that returns the bytes of a file. It gets the network, the sample rate in Hz, the metadata, and
            the default rotations (0 to 1) of the knobs by name. It raises `ValueError` if the format cannot hold the
            network.
    """

    suffix: str
    write: Callable[[Any, float, Mapping[str, Any], Mapping[str, float]], bytes]


def count_arrays(network: object) -> int:
    """Return how many numbers the arrays of a description hold."""
    return sum(v.size for part in walk(network) for v in vars(part).values() if isinstance(v, np.ndarray))


def count_past(network: Network) -> int:
    """Return how many numbers the past input of a stream has, back to the start of the receptive field."""
    return (network.receptive_field - 1) * network.in_channels


def _never(network: Any) -> bool:
    return False


@dataclass(frozen=True)
class NetworkKind:
    """A kind of network.

    Attributes:
        name: in messages, such as ``wavenet``.
        description: class of the descriptions, a frozen dataclass; see `neural_fx.networks.Network`. Its fields are
            numbers, texts, arrays, other such dataclasses, and tuples and dicts of these.
        model: function that makes the torch module of a description, a `neural_fx.networks.model.Model`. Only this
            function imports torch, which is optional.
        binding: compiled kernels. Without them, torch runs the network.
        multiply_adds: function that returns the multiply-adds per sample, for `neural-fx bench`.
        state_size: function that returns how many 32-bit numbers a stream keeps. The size of boards from the network
            is limited by it.
        recurrent: function that returns whether the memory has no end. `receptive_field` then counts what ends.
        splits: whether a long signal may run in pieces that overlap by the receptive field. Recurrent networks never
            do. It is False if the output also depends on the position in the stream.
        hold: function that returns the network at a fixed position of its knobs (rotations 0 to 1, in their order). It
            has no knobs any more. None if the knobs cannot be held.
        export: how it is written to a file.
        trains: whether it can be trained. The parameters of its module are then optimised.
        untrained: functions that make an untrained network from a random seed, by the name for
            ``neural-fx train --arch``.

    Raises:
        TypeError: the description is not a dataclass.
    """

    name: str
    description: type
    model: Callable[[Any], Model]
    binding: Binding | None = None
    multiply_adds: Callable[[Any], int] = count_arrays
    state_size: Callable[[Any], int] = count_past
    recurrent: Callable[[Any], bool] = _never
    splits: bool = True
    hold: Callable[[Any, Sequence[float]], Network] | None = None
    export: Export | None = None
    trains: bool = True
    untrained: Mapping[str, Callable[[int], Network]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Equal networks are found by their fields, and a board travels to other processes with its captures.
        if not is_dataclass(self.description):
            raise TypeError(f"network kind {self.name!r}: {self.description.__name__} is not a dataclass")


NETWORKS = Registry(
    "neural_fx.networks",
    NetworkKind,
    built_in=(
        "neural_fx.networks.wavenet.kind:KIND",
        "neural_fx.networks.sequential.kind:KIND",
        "neural_fx.networks.knobbed.kind:KIND",
        "neural_fx.networks.slimmable:KIND",
    ),
)
"""All kinds of networks."""


def kind_of(network: Network) -> NetworkKind:
    """Return the kind of a network.

    Raises:
        ModelError: it is of no registered kind.
    """
    for kind in NETWORKS:
        if isinstance(network, kind.description):
            return kind
    known = ", ".join(NETWORKS.names())
    raise ModelError(f"a {type(network).__name__} is no network of a registered kind; known: {known}")


def build(network: Network) -> Model:
    """Return the torch module of a network description, with its weights.

    Raises:
        ModelError: the network is of no registered kind.
        TypeError: the network is a `Slimmable`, which is several networks. Build one of its `sizes`.
    """
    return kind_of(network).model(network)


def is_recurrent(network: Network) -> bool:
    """Return whether the network has recurrent layers, whose memory has no end."""
    return kind_of(network).recurrent(network)


def runs_in_pieces(network: Network) -> bool:
    """Return whether a long signal may run in pieces that overlap by the receptive field."""
    return kind_of(network).splits and not is_recurrent(network)
