"""Find the timbre of one recorded note: encode it, then move the timbre until the decoder comes closest to the note.

The descent is damped least squares (Levenberg and Marquardt), with derivatives by differences: a timbre has few
numbers, and all differences are decoded in one batch. So it needs neither torch nor gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from instruments.latent import features
from instruments.latent.files import LatentFile
from instruments.latent.frames import LEVELS, NOISE_DB, SILENT_DB, SLOTS, NoteFrames
from instruments.latent.network import CENTS, LatentNetwork
from instruments.latent.noise import BANDS, CENTRES
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ
from instruments.latent.pitch import midi_to_hz
from instruments.latent.recording import Recording
from neural_fx.arrays import Doubles
from neural_fx.errors import ParameterError

STEPS = 20
GROUP_WEIGHTS = {"harmonics": 1.0, "slots": 0.7, "noise": 0.7}
"""As in training."""
PRIOR = 0.02
"""Weight of the squared distance to where the timbre began. One note must not move it far."""
_CENTS_WEIGHT = 0.1
_ALIVE_WEIGHT = 0.1
_BETA = 0.1
_MOST_TICKS = 60
_AFTER_END = (2, 10, 40, 100)
_DIFFERENCE = 0.02
_USUAL_TICKS = np.array([2.0, 6, 12, 24, 48, 96, 200])


def fitted(file: LatentFile, recording: Recording, velocity: float, steps: int = STEPS) -> Doubles:
    """Return the timbre of a recorded note, (timbre,).

    The level of a recording means nothing, so the note is taken to be as loud as the presets usually are.

    Args:
        file: network, and the presets.
        recording: of the note.
        velocity: 1 to 127, how hard it was played.
        steps: of the descent. 0 keeps what the encoder makes.

    Raises:
        ParameterError: the velocity or the number of steps is out of range.
    """
    if not 1 <= velocity <= 127:
        raise ParameterError(f"velocity: {velocity:g} is outside its range 1 to 127")
    if not 0 <= steps <= 1000:
        raise ParameterError(f"steps: {steps} is outside its range 0 to 1000")
    frames = leveled(recording.frames(velocity), usual_level_db(file.network, file.presets, recording.pitch, velocity))
    start = file.network.encode(frames)
    return descended(file.network, frames, start, steps) if steps else start


def leveled(frames: NoteFrames, level_db: float) -> NoteFrames:
    """Return frames whose loudest one has a level in dB."""
    gain = level_db - float(_level_db(frames.levels).max())
    return replace(frames, levels=np.maximum(frames.levels + gain, SILENT_DB))


def usual_level_db(network: LatentNetwork, presets: Mapping[str, Doubles], pitch: float, velocity: float) -> float:
    """Return the level in dB that presets usually have in their loudest frame.

    Args:
        network: that plays them.
        presets: timbres by name. Without any, it is the timbre in the middle.
        pitch: MIDI note.
        velocity: 1 to 127.
    """
    timbres = np.stack(list(presets.values())) if presets else np.zeros((1, network.sizes.timbre))
    count = len(timbres)
    hidden = network.notes(timbres, np.full(count, pitch), np.full(count, velocity)).hidden
    ticks = np.tile(_USUAL_TICKS, count)
    decoded = network.frames(np.repeat(hidden, len(_USUAL_TICKS), axis=0), ticks, np.full(len(ticks), np.inf))
    return float(np.median(_level_db(decoded.levels).reshape(count, -1).max(axis=1)))


def _level_db(levels: Doubles) -> Doubles:
    """Return the level of each frame in dB, (frames,)."""
    # A level of noise is that of a sinusoid that fills one bin. A band fills several.
    density = 10 ** ((levels[:, -BANDS:] - NOISE_DB) / 10)
    noise = density @ np.gradient(CENTRES)
    sinusoids = (10 ** (levels[:, :-BANDS].astype(np.float64) / 10)).sum(axis=1) / 2
    return np.asarray(10 * np.log10(np.maximum(sinusoids + noise, 1e-14)))


@dataclass(frozen=True)
class _Goal:
    """What the decoder should make.

    Attributes:
        pitch: MIDI note.
        velocity: 1 to 127.
        release: tick of the release.
        ticks: of the frames, (frames,).
        levels: scaled, (frames, LEVELS).
        floor: scaled level below which all is silent.
        cents: in units of `CENTS`, (frames,).
        alive: 1 before the end of the note, else 0, (frames,).
        weights: of the levels, (LEVELS,); they are 1 in all.
    """

    pitch: float
    velocity: float
    release: float
    ticks: Doubles
    levels: Doubles
    floor: float
    cents: Doubles
    alive: Doubles
    weights: Doubles


def descended(network: LatentNetwork, frames: NoteFrames, start: Doubles, steps: int, prior: float = PRIOR) -> Doubles:
    """Return a timbre that is closer to a note, (timbre,).

    Args:
        network: whose decoder plays, and stays as it is.
        frames: of the note.
        start: the timbre to begin with, (timbre,).
        steps: of the descent.
        prior: weight of the squared distance to the start.
    """
    goal = _goal_of(frames)
    timbre = np.array(start, np.float64)
    damping = 1e-2
    numbers = len(timbre)
    residuals, slopes = _linearised(network, goal, timbre)
    cost = _cost(residuals, goal) + prior * float(((timbre - start) ** 2).sum())
    for _ in range(steps):
        weights = _weights(residuals, goal)
        normal = slopes.T @ (weights[:, None] * slopes) + prior * np.eye(numbers)
        gradient = slopes.T @ (weights * residuals) + prior * (timbre - start)
        move = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        candidate = timbre - move
        found, found_slopes = _linearised(network, goal, candidate)
        found_cost = _cost(found, goal) + prior * float(((candidate - start) ** 2).sum())
        if found_cost < cost:
            timbre, residuals, slopes, cost = candidate, found, found_slopes, found_cost
            damping = max(damping / 3, 1e-4)
        else:
            damping *= 4
    return timbre


def fit_cost(network: LatentNetwork, frames: NoteFrames, timbre: Doubles) -> float:
    """Return how far a note of a timbre is from some frames.

    Args:
        network: whose decoder plays.
        frames: of the note.
        timbre: (timbre,).
    """
    goal = _goal_of(frames)
    return _cost(_residuals(network, goal, timbre[None])[0], goal)


def _goal_of(frames: NoteFrames) -> _Goal:
    floor = features.floor_of(frames)
    chosen = np.unique(np.rint(np.linspace(0, len(frames.ticks) - 1, _MOST_TICKS)).astype(int))
    after = frames.end + np.array(_AFTER_END)
    harmonic_hz = midi_to_hz(frames.pitch) * np.arange(1, HARMONICS + 1)
    groups = {"harmonics": HARMONICS, "slots": SLOTS, "noise": LEVELS - HARMONICS - SLOTS}
    weights = np.concatenate([np.full(size, GROUP_WEIGHTS[name] / size) for name, size in groups.items()])
    audible = harmonic_hz < HIGHEST_HZ
    weights[:HARMONICS] *= audible * HARMONICS / audible.sum()
    levels = np.maximum(frames.levels[chosen].astype(np.float64), floor)
    return _Goal(
        pitch=frames.pitch,
        velocity=frames.velocity,
        release=float(frames.release) if frames.release < frames.end else np.inf,
        ticks=np.concatenate((frames.ticks[chosen], after)).astype(np.float64),
        levels=features.scaled(np.concatenate((levels, np.full((len(after), LEVELS), floor)))),
        floor=float(features.scaled(np.array(floor))),
        cents=np.concatenate((frames.cents[chosen], np.zeros(len(after)))) / CENTS,
        alive=np.concatenate((np.ones(len(chosen)), np.zeros(len(after)))),
        weights=weights / weights.sum(),
    )


def _residuals(network: LatentNetwork, goal: _Goal, timbres: Doubles) -> Doubles:
    """Return the errors of some timbres, (timbres, frames * (LEVELS + 2))."""
    count, ticks = len(timbres), len(goal.ticks)
    state = network.notes(timbres, np.full(count, goal.pitch), np.full(count, goal.velocity))
    decoded = network.frames(
        np.repeat(state.hidden, ticks, axis=0), np.tile(goal.ticks, count), np.full(count * ticks, goal.release)
    )
    levels = np.maximum(features.scaled(decoded.levels), goal.floor).reshape(count, ticks, LEVELS) - goal.levels
    cents = (decoded.cents.reshape(count, ticks) / CENTS - goal.cents) * goal.alive
    alive = 1 / (1 + np.exp(-np.clip(decoded.alive, -30, 30))).reshape(count, ticks) - goal.alive
    return np.concatenate((levels, cents[..., None], alive[..., None]), axis=2).reshape(count, -1)


def _linearised(network: LatentNetwork, goal: _Goal, timbre: Doubles) -> tuple[Doubles, Doubles]:
    """Return the errors of a timbre, and how they change with each of its numbers, (errors, timbre)."""
    moved = timbre + _DIFFERENCE * np.eye(len(timbre))
    found = _residuals(network, goal, np.concatenate((timbre[None], moved)))
    return found[0], np.asarray((found[1:] - found[0]).T / _DIFFERENCE)


def _scale(goal: _Goal) -> Doubles:
    """Return the weight of each error, (errors,)."""
    row = np.concatenate((goal.weights, [_CENTS_WEIGHT, _ALIVE_WEIGHT]))
    return np.tile(row / len(goal.ticks), len(goal.ticks))


def _cost(residuals: Doubles, goal: _Goal) -> float:
    """Return the sum of the errors: squares of small ones, absolute values of large ones."""
    sizes = np.abs(residuals)
    return float(_scale(goal) @ np.where(sizes < _BETA, sizes**2 / (2 * _BETA), sizes - _BETA / 2))


def _weights(residuals: Doubles, goal: _Goal) -> Doubles:
    """Return weights with which squares have the same slope as `_cost`."""
    return np.asarray(_scale(goal) / np.maximum(np.abs(residuals), _BETA))
