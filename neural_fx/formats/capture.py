"""Describe a model file of any format after it has been read: `Capture`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from neural_fx.arrays import Array
from neural_fx.networks import Network


@dataclass(frozen=True)
class Metadata:
    """What a file states about its gear and its levels. Fields that it does not state are None.

    Attributes:
        name: of the capture.
        modeled_by: who made it.
        gear_type: kind of gear, such as ``amp`` or ``pedal``.
        gear_make: maker of the gear.
        gear_model: name of the gear.
        tone_type: such as ``clean`` or ``hi_gain``.
        loudness: dB, RMS of the model's output for the trainer's standard clip.
        gain: 0 (linear) to 1 (fully saturated).
        input_level_dbu: dBu of a 1 kHz sine at the analog input that reads 0 dBFS peak.
        output_level_dbu: the same at the output.
        everything: all metadata of the file, unchanged.
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
        """Read the metadata of a file.

        Malformed fields are left out and never raise an error, because they only describe.
        """
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
    """The self-test of an AIDA-X file, computed from a zero state with the knobs at 0.

    Attributes:
        input: (samples,).
        output: (samples,), the expected output.
    """

    input: Array
    output: Array


@dataclass(frozen=True)
class Capture:
    """A validated model file.

    Attributes:
        format: ``nam``, ``guitarml``, ``rtneural``, ``wavenetva`` or ``pedal``, or that of another package.
        architecture: the file's own name for its network, for display.
        network: the network itself.
        sample_rate: Hz at which the network runs.
        parameter_count: numbers that the file holds for the network (the largest of its sizes).
        version: of the format, if the file states one.
        metadata: gear and levels.
        knobs: start values, 0..1, of the inputs after the audio input, by name.
        prewarm: samples of silence to run before the first sample, as the format's own players do.
        self_test: the file's self-test, if it has one.
        path: of the file; None if the capture was not read from one.
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
