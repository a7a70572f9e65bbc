"""Make audio players for HTML pages, with the audio in the page or in a file in its folder."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray


def player(label: str, source: str) -> str:
    """Return the HTML of a player with a label.

    Args:
        label: plain text.
        source: URL of the audio, from `data_url` or `file_url`.
    """
    return (
        f"<figure><figcaption>{html.escape(label)}</figcaption>"
        f'<audio controls preload="none" src="{html.escape(source)}"></audio></figure>'
    )


def data_url(signal: NDArray[np.float32], sample_rate: int) -> str:
    """Return a URL that contains the audio as 16-bit FLAC.

    Args:
        signal: (samples,). Samples beyond full scale are clipped.
        sample_rate: Hz.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(signal, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()


def file_url(name: str) -> str:
    """Return the URL of a file in the page's folder."""
    return quote(name)


def common_gain(signals: Sequence[NDArray[np.float32]]) -> float:
    """Return the largest gain, at most 1, at which no signal exceeds full scale."""
    peak = max(float(np.abs(signal).max(initial=0)) for signal in signals)
    return min(1.0, 0.99 / max(peak, 1e-9))
