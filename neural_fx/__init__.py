"""Neural effects for audio in Python. A capture is a processor, in one chain with native pedalboard plugins.

    >>> import neural_fx, pedalboard                                                # doctest: +SKIP
    >>> board = neural_fx.Pedalboard([neural_fx.load("amp.nam"), pedalboard.Reverb()])  # doctest: +SKIP
    >>> wet = board(dry, sample_rate)                                                  # doctest: +SKIP

Names are imported when first used, so `import neural_fx` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "load": "neural_fx.neural",
    "NeuralProcessor": "neural_fx.neural",
    "Processor": "neural_fx.processor",
    "Spec": "neural_fx.processor",
    "Parameter": "neural_fx.parameters",
    "Pedalboard": "neural_fx.pedalboard",
    "Chain": "neural_fx.pedalboard",
    "Mix": "neural_fx.pedalboard",
    "Convolution": "neural_fx.impulse",
    "NeuralFXError": "neural_fx.errors",
    "ModelError": "neural_fx.errors",
    "ParameterError": "neural_fx.errors",
    "BoardError": "neural_fx.errors",
    "AudioError": "neural_fx.errors",
    "TrainingError": "neural_fx.errors",
}
_MODULES = ("pedals", "timbre")

__all__ = [
    "AudioError",
    "BoardError",
    "Chain",
    "Convolution",
    "Mix",
    "ModelError",
    "NeuralFXError",
    "NeuralProcessor",
    "Parameter",
    "ParameterError",
    "Pedalboard",
    "Processor",
    "Spec",
    "TrainingError",
    "__version__",
    "load",
    "pedals",
    "timbre",
]

if TYPE_CHECKING:
    from neural_fx import pedals, timbre
    from neural_fx.errors import AudioError, BoardError, ModelError, NeuralFXError, ParameterError, TrainingError
    from neural_fx.impulse import Convolution
    from neural_fx.neural import NeuralProcessor, load
    from neural_fx.parameters import Parameter
    from neural_fx.pedalboard import Chain, Mix, Pedalboard
    from neural_fx.processor import Processor, Spec


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"neural_fx.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'neural_fx' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
