"""Find the sample at which a device starts to respond, near a lag that is roughly known.

Two estimates are made and combined:

1. **Correlation.** A line that is zero and then rises is fitted to the first rise of the whitened correlation.
2. **Response.** A least-squares model predicts each wet sample from earlier wet samples and from the dry samples
   around the lag. Its impulse response is zero up to the onset. The model is fitted only
   where the wet recording was near zero, because a clipper passes small signals there and hides others.
   A second fit gives little weight to the samples that the first one predicted badly (Cauchy's weights).

The result is the mean of both if they are close. Otherwise the response decides if it is zero before the onset, as it
should be. If it is noisy there, the correlation decides. A noisy response hides the first, small samples of a slow
device, so the onset is then set a little earlier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Doubles

QUIET = 0.1
"""Largest ratio of noise before the onset to the peak at which a response is trusted."""
NEAR = 4.0
"""Distance in samples within which the two estimates are averaged."""
FAR = 8.0
"""Distance in samples from which on a response is not trusted, because it shows another rise than the first."""
DOUBTFUL = 3.0
"""Distance in samples from which on the two estimates disagree. From `FAR` on, only one of them counts."""
HIDDEN = 0.4
"""Samples by which the onset is earlier than it seems if the response is noisy. Measured with the bundled pedals."""
_BEFORE = 24
"""Samples before the correlation's peak in which the onset is searched."""
_AFTER = 32
"""Samples after the correlation's peak that are analysed."""
_EARLIER = 20
"""Lags before the rough lag that the response covers. The first `_NOISE` of them measure its noise."""
_LATER = 40
"""Lags after the rough lag that the response covers."""
_NOISE = 12
_PAST = 32
"""Wet samples from which the next one is predicted."""
_ROWS = 80_000
"""Largest number of samples to fit the response to. It limits the memory to about 120 MB."""
_RIDGE = 1e-7
"""-70 dB of white noise in the dry recording, so that an empty band does not make the response oscillate."""
_CORNER = 0.75
"""Samples from the corner of the fitted line to the onset: a compromise between sudden and slow devices."""


@dataclass(frozen=True)
class Response:
    """Impulse response of a device around its onset.

    Attributes:
        values: response from the lag `first` on, (lags,).
        first: lag of the first value.
        noise: level before the onset over the peak.
    """

    values: Doubles
    first: int
    noise: float


def find_onset(signals: list[tuple[Doubles, Doubles]], correlations: Doubles, peak: int) -> tuple[int, bool]:
    """Return the lag at which a device starts to respond, and whether the two estimates of it agree.

    Args:
        signals: dry, (samples,), and wet, (samples + lags - 1,), of each pair.
        correlations: whitened correlations of several prediction orders, (orders, lags).
        peak: lag at which they peak.
    """
    rise = float(np.median([rise_of_correlation(row, peak) for row in correlations]))
    responses = [find_response(x, y, round(rise)) for x, y in signals]
    usable = [response for response in responses if response is not None]
    if not usable:
        return round(rise), True
    best = min(usable, key=lambda response: response.noise)
    start = rise_of_response(best)
    clean = best.noise < QUIET
    apart = abs(start - rise)
    onset = start if clean and apart < FAR else rise
    if apart < NEAR:
        onset = (start + rise) / 2
    agree = not DOUBTFUL <= apart < FAR
    return round(onset if clean else onset - HIDDEN), agree


def find_response(x: Doubles, y: Doubles, place: int) -> Response | None:
    """Return the impulse response of a device to small signals; None if there is too little to fit it to.

    Args:
        x: dry, (samples,).
        y: wet; at lag 0, x begins with it.
        place: lag near the onset.
    """
    lags = np.arange(place - _EARLIER, place + _LATER + 1)
    begin = max(int(lags[-1]), _PAST + 1)
    end = min(len(y), len(x) + int(lags[0]))
    rows = _near_zero(y, begin, end)
    if len(rows) < 2000:
        return None
    past = np.arange(1, _PAST + 1)
    columns = np.empty((_PAST + 1 + len(lags), len(rows)))
    scale_x = float(x.std())
    scale_y = float(y[begin:end].std())
    columns[:_PAST] = [y[rows - step] / scale_y for step in past]
    columns[_PAST] = 1
    columns[_PAST + 1 :] = [x[rows - lag] / scale_x for lag in lags]
    target = y[rows] / scale_y
    weights = np.ones(len(rows))
    coefficients = _fitted(columns, target, weights)
    residual = target - coefficients @ columns
    spread = 1.4826 * float(np.median(np.abs(residual)))
    weights = 1 / (1 + np.square(residual / max(spread, 1e-12)))
    coefficients = _fitted(columns, target, weights)
    values = coefficients[_PAST + 1 :].copy()
    for i in range(1, len(values)):  # the prediction from past wet samples makes the response longer
        recent = values[max(0, i - _PAST) : i][::-1]
        values[i] += coefficients[: len(recent)] @ recent
    top = float(np.abs(values[: _EARLIER + _BEFORE]).max())
    if not np.isfinite(values).all() or top <= 0:
        return None
    return Response(values, int(lags[0]), float(np.std(values[:_NOISE])) / top)


def _near_zero(y: Doubles, begin: int, end: int) -> NDArray[np.int64]:
    """Return the indices of samples before which the wet recording was nearest to zero, relative to its level.

    Args:
        y: wet, (samples,).
        begin, end: range of indices.
    """
    if end - begin < 4096:
        return np.empty(0, np.int64)
    span = 2048
    energy = np.concatenate((np.zeros(span + 1), np.cumsum(np.square(y))))
    level = np.sqrt(np.maximum(energy[span : span + len(y)] - energy[: len(y)], 0) / span)  # of the past only
    rows = np.arange(begin, end)
    rows = rows[level[rows] > 0.1 * level.max()]
    distance = np.abs(y[rows - 1]) / level[rows]
    count = len(rows) // 4
    if not count:
        return np.empty(0, np.int64)
    nearest = np.sort(rows[np.argpartition(distance, count - 1)[:count]])
    return nearest[np.linspace(0, count - 1, min(count, _ROWS)).astype(np.int64)]


def solve(matrix: Doubles, right: Doubles) -> Doubles:
    """Solve a symmetric system of equations, with the smallest solution if there are several.

    A constant or silent part of a recording makes the matrix singular. That is not an error here.

    Args:
        matrix: (n, n).
        right: right side, (n,) or (n, columns).
    """
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def _fitted(columns: Doubles, target: Doubles, weights: Doubles) -> Doubles:
    """Return the coefficients of the columns that fit the target by weighted least squares with a ridge."""
    weighted = columns * weights
    gram = weighted @ columns.T
    diagonal = np.diag(gram).copy()
    ridge = np.full(len(gram), 1e-9)
    ridge[_PAST + 1 :] += _RIDGE
    gram[np.diag_indices(len(gram))] += ridge * diagonal
    return solve(gram, weighted @ target)


def rise_of_response(response: Response) -> float:
    """Return the lag at which a response leaves zero."""
    values = response.values[: _EARLIER + _BEFORE]
    size = np.abs(values)
    top = int(np.argmax(size > 0.7 * size.max()))
    while top + 1 < len(size) and size[top + 1] > size[top]:
        top += 1
    values = values * np.sign(values[top])
    jump = _jump(values, 0, top)
    if jump is not None and response.noise < QUIET:
        begun = jump > 0 and values[jump - 1] > 0.15 * values[top]  # the first sample may be smaller than the jump
        return response.first + jump - begun
    low, high = _flank(values, top, 0.3)
    return response.first + _hinge(values, low, high) + _CORNER


def rise_of_correlation(correlation: Doubles, peak: int) -> float:
    """Return the lag at which a whitened correlation leaves zero.

    Args:
        correlation: (lags,).
        peak: where it peaks.
    """
    start = max(0, peak - 2 * _BEFORE)
    values = correlation[start : peak + _AFTER] * np.sign(correlation[peak])
    top = int(values[: peak + _AFTER // 2 - start].argmax())
    jump = _jump(values, max(0, top - _BEFORE), top)
    if jump is not None:
        return start + jump
    low, high = _flank(values, top, 0.5)
    return start + _hinge(values, low, high) + 1


def _jump(values: Doubles, earliest: int, top: int) -> int | None:
    """Return where a rise jumps by nearly half its height in one sample, as without a filter; None if nowhere."""
    rising = np.maximum(values[earliest : top + 1], 0)
    steps = np.diff(rising, prepend=rising[0])
    return earliest + int(steps.argmax()) if steps.max() > 0.45 * values[top] else None


def _flank(values: Doubles, top: int, share: float) -> tuple[int, int]:
    """Return the indices at which the rise to a peak passes a share of its height, and four fifths of it."""
    low = top
    while low > 0 and top - low < _BEFORE and values[low - 1] > share * values[top]:
        low -= 1
    high = low
    while values[high] < 0.8 * values[top]:
        high += 1
    return low, high


def _hinge(values: Doubles, low: int, high: int) -> float:
    """Return the corner of the line that fits best and is zero before the corner.

    Args:
        values: the correlation or response.
        low, high: indices within the rise; it begins before `low` and ends at `high`.
    """
    places = np.arange(max(0, low - 8), high + 1)
    part = values[places]
    best = np.inf
    corner = float(low)
    for candidate in np.arange(low - 8, high, 0.125):
        ramp = np.maximum(0, places - candidate)
        slope = (ramp @ part) / (ramp @ ramp)
        error = float(np.sum((part - slope * ramp) ** 2))
        if error < best - 1e-4 * float(part @ part):
            best = error
            corner = float(candidate)
    return corner
