"""Gather everything that a GPU machine without a network needs in `demos/gpu/gathered`, under 60 MiB.

    python -m demos.gpu.gather --models ../shared/models --audio ../shared/audio/di --native python3.12

Downloads the wheels of the packages that such a machine lacks, for CPython 3.12 on Linux x86-64. Copies models and a
few seconds of audio, and builds the compiled engine. `manifest.json` lists the files with their sizes and SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from demos.gpu.context import GATHERED, RATE
from demos.gpu.prepare import native_digest
from neural_fx.audio import read_audio, resample
from neural_fx.bench import revision
from neural_fx.errors import NeuralFXError

ROOT = Path(__file__).parents[2]
LIMIT_MIB = 60
AUDIO_SECONDS = 8
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64", "manylinux_2_17_x86_64",
             "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
"""Platform tags of wheels that run on the machine. pip matches each exactly."""
PROVIDED = ("torch", "triton", "numpy", "nanobind", "scikit-build-core")
"""Packages that the machine already has, or does not need."""
TOOLS = ("hypothesis", "psutil", "pytest", "pytest-timeout")
"""Packages that the tests need in addition to the requirements of the project."""
MODELS = ("nam", "nam_variants", "captures", "rtneural", "wavenetva", "packed")
"""Folders of reference models to copy. They contain every architecture."""
LARGEST_MODEL = 1 << 20


def main() -> None:
    """Gather everything and list the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=None, help="folder of reference models")
    parser.add_argument("--audio", type=Path, default=None, help="folder of guitar recordings, or one file")
    parser.add_argument("--native", default=None, help="a Python 3.12 to build the compiled engine for")
    parser.add_argument("--into", type=Path, default=GATHERED)
    options = parser.parse_args()
    try:
        gather(options.into, options.models, options.audio, options.native)
    except NeuralFXError as error:
        sys.exit(f"error: {error}")


def gather(into: Path, models: Path | None, audio: Path | None, native: str | None) -> None:
    """Gather everything in a folder.

    Args:
        into: the folder. Its old contents are replaced when everything else has succeeded.
        models: folder that contains the folders in `MODELS`; None for no models.
        audio: a recording, or a folder whose first FLAC or WAV file is taken; None for no audio.
        native: command of a Python 3.12 to build the compiled engine for; None to build it on the GPU machine.

    Raises:
        NeuralFXError: a download or the build failed, or the folder is larger than `LIMIT_MIB`.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".gathering-") as temporary:
        folder = Path(temporary)
        download(folder / "wheels", requirements())
        if native:
            build(folder / "native", native)
        if models:
            copy_models(models, folder / "models")
        if audio:
            copy_audio(audio, folder / "audio")
        (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
        files = manifest(folder)
        check_size(sum(size for size, _ in files.values()))
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(folder, into)
    for name, (size, digest) in files.items():
        print(f"{size:>10}  {digest[:16]}  {name}")
    total = sum(size for size, _ in files.values()) / 2**20
    print(f"{len(files)} files, {total:.1f} MiB, in {into}")


def requirements() -> list[str]:
    """Return the requirements of the project and its tests, without those in `PROVIDED`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if distribution(line) not in PROVIDED] + list(TOOLS)


def distribution(requirement: str) -> str:
    """Return the normalized name in a requirement or a wheel's file name.

    >>> distribution("PyYAML>=6"), distribution("typing_extensions-4.16.0-py3-none-any.whl")
    ('pyyaml', 'typing-extensions')
    """
    name = requirement.split("-")[0] if requirement.endswith(".whl") else requirement
    for mark in "<>=!~;[ ":
        name = name.split(mark)[0]
    return name.lower().replace("_", "-").replace(".", "-")


def download(folder: Path, wanted: Iterable[str]) -> None:
    """Download wheels with all their dependencies, without those that the machine already has.

    Raises:
        NeuralFXError: a package has no wheel for that machine, or can't be downloaded.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary=:all:"]
    command += [
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
        "--abi",
        "cp312",
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NeuralFXError(f"pip could not download the wheels: {_last_line(done.stderr)}")
    for wheel in folder.glob("*.whl"):
        if distribution(wheel.name) in PROVIDED:
            wheel.unlink()


def build(folder: Path, python: str) -> None:
    """Build the compiled engine for a Python 3.12, and write its module and the digest of its sources.

    Raises:
        NeuralFXError: the build failed, or `python` is another version.
    """
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", temporary, str(ROOT)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise NeuralFXError(f"{python}: cannot be run: {error.strerror}; give --native a Python 3.12") from None
        if done.returncode:
            raise NeuralFXError(f"{python} could not build the compiled engine: {_last_line(done.stderr)}")
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.startswith("neural_fx/native/_core") and "cpython-312" in name:
                        (folder / Path(name).name).write_bytes(archive.read(name))
    if not any(folder.iterdir()):
        raise NeuralFXError(
            f"{python} built no compiled engine for CPython 3.12: it needs to be a Python 3.12, with a C++ compiler"
        )
    (folder / "sources.sha256").write_text(native_digest(ROOT), encoding="utf-8")


def copy_models(models: Path, folder: Path) -> None:
    """Copy the model files of the reference folders.

    Raises:
        NeuralFXError: there are no model files.
    """
    for kind in MODELS:
        for file in sorted((models / kind).glob("*")):
            if file.suffix in (".nam", ".json") and file.stat().st_size <= LARGEST_MODEL:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / kind / file.name)
    if not folder.is_dir():
        raise NeuralFXError(f"{models}: no models; expected .nam or .json files in folders named {', '.join(MODELS)}")


def copy_audio(audio: Path, folder: Path) -> None:
    """Copy the first seconds of a recording, as one channel at 48 kHz.

    Raises:
        NeuralFXError: there is no recording, or it can't be read.
    """
    files = sorted(file for file in audio.glob("*") if file.suffix in (".flac", ".wav")) if audio.is_dir() else [audio]
    if not files:
        raise NeuralFXError(f"{audio}: no FLAC or WAV files in this folder")
    samples, rate = read_audio(files[0])
    mono = resample(samples[:1], rate, RATE)[0, : AUDIO_SECONDS * RATE]
    folder.mkdir(parents=True)
    soundfile.write(folder / "guitar.wav", np.asarray(mono, np.float32), RATE, subtype="PCM_16")


def manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """Write `manifest.json` and return size and SHA-256 of every file by its path."""
    files = {
        str(file.relative_to(folder)): (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    listed = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in files.items()}
    text = json.dumps({"revision": revision(), "files": listed}, indent=1)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return files


def check_size(total: int) -> None:
    """Raise an error if the gathered files are too large.

    Raises:
        NeuralFXError: they are larger than `LIMIT_MIB`.
    """
    if total > LIMIT_MIB << 20:
        raise NeuralFXError(
            f"gathered {total / 2**20:.1f} MiB, but at most {LIMIT_MIB} MiB can be carried; leave some out"
        )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1] if lines else "it printed nothing"


if __name__ == "__main__":
    main()
