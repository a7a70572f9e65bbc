"""Import the torch module of networks with knobs under its former name."""

from __future__ import annotations

from neural_fx.networks.knobbed.model import KnobbedModel

__all__ = ["KnobbedModel"]
