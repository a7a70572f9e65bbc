"""`Capture`: a model file once read, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neural_fx.formats.network import Array, Network


@dataclass(frozen=True)
class Metadata:
    """What a file says about its gear and its levels; every field may be None.

    Attributes:
        loudness: dB, RMS of the model's output for the trainer's standard clip.
        gain: 0 (linear) to 1 (fully saturated).
        input_level_dbu: dBu of a 1 kHz sine at the analog input that reads 0 dBFS peak.
        output_level_dbu: the same at the output.
        everything: the file's metadata as it stands.
    """

    name: str | None = None
    modeled_by: str | None = None
    gear_type: str | None = None
    gear_make: str | None = None
    gear_model: str | None = None
    tone_type: str | None = None
    loudness: float | None = None
    gain: float | None = None
    input_level_dbu: float | None = None
    output_level_dbu: float | None = None
    everything: Mapping[str, Any] = field(default_factory=dict)

    TEXTS: ClassVar = ("name", "modeled_by", "gear_type", "gear_make", "gear_model", "tone_type")
    LEVELS: ClassVar = ("loudness", "gain", "input_level_dbu", "output_level_dbu")

    @classmethod
    def read(cls, raw: object) -> Metadata:
        """The metadata of a file. Descriptive only, so what is malformed is left out, never an error."""
        if not isinstance(raw, Mapping):
            return cls()
        known: dict[str, Any] = {k: str(raw[k]) for k in cls.TEXTS if isinstance(raw.get(k), str)}
        for key in cls.LEVELS:
            value = raw.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e3:
                known[key] = float(value)
        return cls(**known, everything=dict(raw))


@dataclass(frozen=True)
class SelfTest:
    """The input and expected output that an AIDA-X file may carry; both (samples,), zero state, knobs at 0."""

    input: Array
    output: Array


@dataclass(frozen=True)
class Capture:
    """A validated model file.

    Attributes:
        format: ``nam``, ``guitarml``, ``rtneural`` or ``wavenetva``.
        architecture: what the file calls its network, for people.
        sample_rate: Hz at which the network runs.
        knobs: names of the inputs after the audio input, 0..1 each, and their start values.
        parameter_count: numbers that the file holds for the network (the largest of its sizes).
        prewarm: samples of silence to run before the first sample, as the format's own players do.
    """

    format: str
    architecture: str
    network: Network
    sample_rate: float
    parameter_count: int = 0
    version: str | None = None
    metadata: Metadata = Metadata()
    knobs: Mapping[str, float] = field(default_factory=dict)
    prewarm: int = 0
    self_test: SelfTest | None = None
    path: Path | None = None
