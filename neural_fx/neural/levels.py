"""Compute the gains of the output levels: raw, normalized and calibrated."""

from __future__ import annotations

from neural_fx.errors import ModelError
from neural_fx.formats import Capture
from neural_fx.loudness import normalizing_gain_db
from neural_fx.parameters import Parameter
from neural_fx.values import shown, suggestion

LEVELS = ("raw", "normalized", "calibrated")

INTERFACE_DBU = Parameter("interface_dbu", -100, 100, 12, "dBu")


def level_gains(capture: Capture, level: str, interface_dbu: float) -> tuple[float, float]:
    """Return the gains in dB before and after the model for an output level.

    Args:
        capture: whose metadata are used.
        level: ``raw``, ``normalized`` or ``calibrated``; see `NeuralProcessor`.
        interface_dbu: level of the audio interface, for ``calibrated``.

    Raises:
        ModelError: the level is unknown, metadata for ``calibrated`` are missing, or ``normalized`` finds silence.
    """
    meta = capture.metadata
    if level == "raw":
        return 0.0, 0.0
    if level == "normalized":
        return 0.0, normalizing_gain_db(capture)
    if level == "calibrated":
        if meta.input_level_dbu is None or meta.output_level_dbu is None:
            raise ModelError(
                "level calibrated needs input_level_dbu and output_level_dbu, which this file does not state; use raw",
                "metadata",
            )
        return interface_dbu - meta.input_level_dbu, meta.output_level_dbu - interface_dbu
    hint = suggestion(level, LEVELS) if isinstance(level, str) else ""
    raise ModelError(f"unknown level {shown(level)}{hint}; known: {', '.join(LEVELS)}")
