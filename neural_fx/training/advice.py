"""Explain the measurements of a trained capture in plain sentences, with what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neural_fx.training.course import Course

Parts = Sequence[tuple[float, float, float]]
"""(from, to, ESR) of bands or of levels."""


def advice(esr: float, bands: Parts, levels: Parts, course: Course | None = None, enough: float = 0.0) -> list[str]:
    """Return sentences about the result, and about what to do next.

    After a training that was too short, the errors do not show how good the recordings are. Then only the time is
    mentioned.

    Args:
        esr: ESR of the whole recording, as a fraction.
        bands: ESR by frequency band in Hz.
        levels: ESR by playing level in dBFS, the softest first.
        course: steps and time of the training; None if they are not known.
        enough: steps that such a training usually needs.
    """
    if not math.isfinite(esr):
        return ["The training failed: the error is not a finite number. Train again with another --seed."]
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
        return "in a mix, it cannot be told from the device"
    if esr < 0.02:
        return "very close; a difference may be audible side by side"
    if esr < 0.1:
        return "similar in character, with an audible difference"
    return "not close to the device"


def _longer(course: Course, steps: float) -> str:
    minutes = course.minutes_for(steps)
    return f"Train for {minutes} minute{'s' if minutes > 1 else ''} (--minutes {minutes})"


def _next_step(esr: float, course: Course | None) -> str:
    if course is not None and course.improving():
        return f"The error was still falling. {_longer(course, 0)}, or choose a larger architecture."
    if esr < 0.1:
        return "Train for longer, or with a larger architecture."
    return "Check the recordings for noise, a gate, an echo or a wrong latency."


def _by_level(levels: Parts) -> list[str]:
    quiet = levels[0][2]
    loud = levels[-1][2]
    if quiet > 10 * loud:
        return ["Much worse at low levels. Check the recording for noise and the device for a gate."]
    if loud > 4 * quiet:
        return ["Worse at high levels. Check the recording for clipping."]
    return []
