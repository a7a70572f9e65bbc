"""Processing allocates nothing, and all memory comes back: the tests that prove it, with a library that counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neural_fx.engines import cpu
from tests.counting import VARIABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cpu.available(), reason="the compiled kernels are not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux loads a library before all others"),
]

ROOT = Path(__file__).parents[3]
FILES = [
    "tests/neural_fx/test_cpu_engine.py",
    "tests/neural_fx/test_knobs.py",
    "tests/neural_fx/networks/autoregressive/test_compiled.py",
    "tests/neural_fx/timbre/test_compiled.py",
    "tests/bridge/test_native_loop.py",
    "tests/bridge/test_native_memory.py",
]


@pytest.fixture(scope="session")
def counting_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that replaces operator new and delete."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no g++ (Debian: apt-get install g++)")
    source, library = Path(__file__).with_name("counting.cpp"), tmp_path_factory.mktemp("counting") / "counting.so"
    subprocess.run([compiler, "-std=c++20", "-O1", "-shared", "-fPIC", source, "-o", library], check=True)
    return library


def with_counts(library: Path) -> dict[str, str]:
    return {**os.environ, "LD_PRELOAD": str(library), VARIABLE: "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("file", FILES)
def test_processing_allocates_nothing_and_memory_comes_back(file: str, counting_library: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-m", "counting", "-p", "no:cacheprovider", "-o", "addopts=-rs", file]
    run = subprocess.run(
        command, cwd=ROOT, env=with_counts(counting_library), capture_output=True, text=True, check=False, timeout=500
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"[1-9]\d* passed", run.stdout), run.stdout
    assert "skipped" not in run.stdout, run.stdout


def test_the_kernels_of_users_do_not_count() -> None:
    assert cpu.core.allocations() is None
    assert cpu.core.blocks_held() is None
