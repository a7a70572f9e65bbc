"""What the findings about a trained capture mean, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neural_fx.training.course import Course

Parts = Sequence[tuple[float, float, float]]
"""(from, to, ESR) of bands or of levels."""


def advice(esr: float, bands: Parts, levels: Parts, course: Course | None = None, enough: float = 0.0) -> list[str]:
    """Return sentences about the result, and about what to do next.

    A training that was too short says nothing about the recordings, so only the time is blamed then.

    Args:
        esr: of the whole, as a fraction.
        bands: ESR by band in Hz.
        levels: ESR by level of the playing in dBFS, the softest first.
        course: of the training; None if it is not known.
        enough: steps that a training like this one needs as a rule.
    """
    if not math.isfinite(esr):
        return ["The training went astray: there is no error that could be measured. Train again with another --seed."]
    words = [f"An ESR of {_percent(esr)}: {_worth(esr)}."]
    short = course is not None and course.steps < enough
    if course is not None and short and esr >= 0.005:
        words.append(f"Too short: {course}. {_longer(course, enough)}.")
    elif esr >= 0.02:
        words.append(_next_step(esr, course))
    low, high, worst = max(bands, key=lambda band: band[2])
    if worst > 4 * esr:
        words.append(f"Weakest from {low:g} to {high:g} Hz (ESR {_percent(worst)} of that band).")
    if not short:
        words += _by_level(levels)
    return words


def _percent(esr: float) -> str:
    return f"{100 * esr:.2g} %" if esr < 0.99 else f"{100 * esr:.0f} %"


def _worth(esr: float) -> str:
    if esr < 0.005:
        return "in a mix, nobody will tell it from the device"
    if esr < 0.02:
        return "very close; side by side, a careful ear may hear a difference"
    if esr < 0.1:
        return "the character is there"
    return "not the device yet"


def _longer(course: Course, steps: float) -> str:
    minutes = course.minutes_for(steps)
    return f"Train for {minutes} minute{'s' if minutes > 1 else ''} (--minutes {minutes})"


def _next_step(esr: float, course: Course | None) -> str:
    if course is not None and course.improving():
        return f"It was still getting better. {_longer(course, 0)}, or take a larger architecture."
    if esr < 0.1:
        return "Train for longer, or with a larger architecture."
    return "Look for noise, a gate, an echo or a wrong latency."


def _by_level(levels: Parts) -> list[str]:
    quiet = levels[0][2]
    loud = levels[-1][2]
    if quiet > 10 * loud:
        return ["Much worse where you play softly: noise in the recording, or a gate in the device?"]
    if loud > 4 * quiet:
        return ["Worse where you play hard: does something in the recording clip?"]
    return []
