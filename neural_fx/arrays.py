"""Name the types of arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Audio: TypeAlias = NDArray[np.float32]
"""Samples: (channels, samples), or (samples,) where it is said."""
Array: TypeAlias = NDArray[np.float32]
"""Weights of networks, and what networks take and return."""
Doubles: TypeAlias = NDArray[np.float64]
"""Measurements that need more digits than audio has."""
Numbers: TypeAlias = NDArray[Any]
"""Numbers of any type."""
