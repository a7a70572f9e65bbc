"""The kernels elsewhere, from the same source: for another processor (arm64, run by QEMU) and another system (Windows,
run by Wine), by another compiler (Clang)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import neural_fx
from tests.conftest import esr

FLAGS = ["-std=c++20", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-static"]
PACKAGES = "g++ g++-aarch64-linux-gnu qemu-user g++-mingw-w64-x86-64-posix wine64 clang"


def played(folder: Path, compiler: str, *runner: str) -> np.ndarray:
    """What the probe prints where a compiler and, for another machine, an emulator run it."""
    for command in (compiler, *runner):
        if shutil.which(command) is None:
            pytest.skip(f"no {command} (Debian: apt-get install {PACKAGES})")
    headers = Path(neural_fx.__file__).parent / "native"
    source, program = Path(__file__).with_name("kernels_probe.cpp"), folder / f"{compiler}.exe"
    folders = [f"-I{headers}", f"-I{headers / 'kernels'}"]
    command = [compiler, *FLAGS, "-DNFX_ARCH=generic", *folders, str(source), "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    wine = {"WINEPREFIX": str(folder / "wine"), "WINEDEBUG": "-all"}
    said = subprocess.run(
        [*runner, str(program)], capture_output=True, text=True, check=True, timeout=300, env={**os.environ, **wine}
    ).stdout
    return np.array(said.split(), float)


@pytest.mark.slow
@pytest.mark.parametrize(
    "elsewhere",
    [("aarch64-linux-gnu-g++", "qemu-aarch64"), ("x86_64-w64-mingw32-g++-posix", "wine"), ("clang++",)],
    ids=["arm64", "Windows", "Clang"],
)
def test_the_same_is_played_elsewhere(elsewhere: tuple[str, ...], tmp_path: Path) -> None:
    here, there = played(tmp_path, "g++"), played(tmp_path, *elsewhere)
    assert here.shape == there.shape == (2 * 2858,)
    assert np.std(here[:2858]) > 0.01
    assert esr(there, here) < 1e-12
