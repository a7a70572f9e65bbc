"""The kernels on another processor: compiled for arm64 (NEON) from the same source, and run by QEMU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import neural_fx
from tests.conftest import esr

FLAGS = ["-std=c++20", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-static"]


def played(folder: Path, compiler: str, *runner: str) -> np.ndarray:
    """What the probe prints where a compiler and, for another processor, an emulator run it."""
    for command in (compiler, *runner):
        if shutil.which(command) is None:
            pytest.skip(f"no {command} (Debian: apt-get install g++ g++-aarch64-linux-gnu qemu-user)")
    headers = Path(neural_fx.__file__).parent / "native"
    source, program = Path(__file__).with_name("kernels_probe.cpp"), folder / compiler
    command = [compiler, *FLAGS, "-DNFX_ARCH=generic", f"-I{headers}", str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    said = subprocess.run([*runner, str(program)], capture_output=True, text=True, check=True, timeout=300).stdout
    return np.array(said.split(), float)


@pytest.mark.slow
def test_arm64_gives_the_same(tmp_path: Path) -> None:
    here, there = played(tmp_path, "g++"), played(tmp_path, "aarch64-linux-gnu-g++", "qemu-aarch64")
    assert here.shape == there.shape == (2 * 2858,)
    assert np.std(here[:2858]) > 0.01
    assert esr(there, here) < 1e-12
