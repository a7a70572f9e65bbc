"""Count the C++ allocations of the compiled kernels.

Users' kernels do not count. A test preloads a library that does, and runs the tests with the mark `counting` again:
`tests/neural_fx/native/test_allocations.py`.
"""

from __future__ import annotations

import os

import pytest

VARIABLE = "NEURAL_FX_TESTS_COUNT"
COUNTING = os.environ.get(VARIABLE) == "1"

NO_ALLOCATIONS = 0 if COUNTING else None
"""What `allocations` must be after processing."""

needs_counts = pytest.mark.skipif(not COUNTING, reason="tests/neural_fx/native/test_allocations.py runs it")
