"""Accept the same array shapes and types as pedalboard's own processors (measured with 0.9.26)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio

FLOAT32 = np.dtype(np.float32)  # numpy has one object for it, and `is` takes a tenth of the time of ==


def float_array(array: object) -> NDArray[Any]:
    """Check that an array holds floats and has one or two dimensions, and return it.

    Raises:
        TypeError: it is not a numpy array of 32- or 64-bit floats.
        RuntimeError: it is not one- or two-dimensional.
    """
    if not isinstance(array, np.ndarray):
        hint = _conversion(array)
        raise TypeError(f"process(): expected a numpy array of floats, got {type(array).__name__}{hint}")
    if array.dtype is not FLOAT32 and array.dtype not in (np.float32, np.float64):
        scaled = "; divide integer samples by their full scale first" if array.dtype.kind in "iu" else ""
        raise TypeError(f"only 32-bit and 64-bit floating point audio can be processed, got {array.dtype}{scaled}")
    if array.ndim not in (1, 2):
        raise RuntimeError(f"Number of input dimensions must be 1 or 2 (got {array.ndim}).")
    return array


def channels_first(audio: object) -> NDArray[Any]:
    """Return a whole recording as (channels, samples), with the layout that a processor's first call detects.

    Args:
        audio: (samples,), (channels, samples) or (samples, channels), 32- or 64-bit floats. The smaller dimension is
            the channels.

    Returns:
        (channels, samples), in the same precision. It may share memory with `audio`.

    Raises:
        TypeError: it is not a numpy array of 32- or 64-bit floats.
        RuntimeError: it is not one- or two-dimensional, or it is square.
    """
    array = float_array(audio)
    if array.ndim == 1:
        return array[None]
    if array.size == 0:
        return array if array.shape[1] == 0 else array.T
    return array if _detected(*array.shape) else array.T


def _detected(rows: int, columns: int) -> bool:
    """Return whether the rows of an array are the channels, by its shape alone."""
    if rows == columns and rows > 1:
        raise RuntimeError(
            f"Unable to determine channel layout from shape: {(rows, columns)}. Provide a non-square array first, "
            "so that it is known which dimension holds the channels and which the samples."
        )
    return rows <= columns


def _conversion(array: object) -> str:
    """Return how to convert something to a numpy array, as the end of an error message."""
    if type(array).__module__.partition(".")[0] == "torch" and hasattr(array, "numpy"):
        return "; convert it with .detach().cpu().numpy()"
    if isinstance(array, (list, tuple)):
        return "; convert it with np.asarray(audio, np.float32)"
    return ""


class Layout:
    """Converts arrays of callers to (channels, samples) and back.

    In the first call, the smaller dimension is the channels. From the second call on, it is the dimension that equals
    the previous number of channels. So blocks may have fewer samples than channels. A square array keeps the layout.
    """

    def __init__(self) -> None:
        self.channels_first: bool | None = None
        self._channels = 0
        self._dimensions = 2

    def enter(self, array: object) -> Audio:
        """Convert (samples,), (channels, samples) or (samples, channels) to (channels, samples) float32.

        Raises:
            TypeError: it is not a numpy array of 32- or 64-bit floats.
            RuntimeError: it is not one- or two-dimensional, or it is square in the first call.
        """
        array = float_array(array)
        self._dimensions = array.ndim
        if array.ndim == 1:
            return np.ascontiguousarray(array[None], np.float32)
        if array.size == 0:
            return np.ascontiguousarray(array if array.shape[1] == 0 else array.T, np.float32)
        self.channels_first = self._detect(*array.shape)
        audio: Audio = np.ascontiguousarray(array if self.channels_first else array.T, np.float32)
        self._channels = audio.shape[0]
        return audio

    def _detect(self, rows: int, columns: int) -> bool:
        known = self.channels_first
        if known is not None and self._channels in (rows, columns):
            return known if rows == columns else rows == self._channels
        if rows == columns and known is not None:
            return known
        return _detected(rows, columns)

    def leave(self, audio: Audio, like: object = None) -> Audio:
        """Convert (channels, samples) back to the layout of the last call.

        Args:
            audio: (channels, samples).
            like: the array of the last call. It sets the layout if it is empty.
        """
        if self._dimensions == 1:
            mono: Audio = audio[0]
            return mono
        transposed = self.channels_first is False
        if isinstance(like, np.ndarray) and like.size == 0:
            transposed = like.shape[0] == 0
        return np.ascontiguousarray(audio.T) if transposed else audio
