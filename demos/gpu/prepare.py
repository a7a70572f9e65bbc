"""Set up an environment on the GPU machine from the gathered folder, without a network.

    python3 demos/gpu/prepare.py FOLDER [GATHERED]

Only uses the standard library. The environment in FOLDER sees the packages of the Python that runs this. Packages that
are missing or too old come from the gathered wheels. The compiled engine is also taken from the gathered folder if it
was built from the same sources. Otherwise it is built here. Without a compiler, torch runs everything.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "neural_fx" / "native"
BUILD_SECONDS = 150
SHARED_LIBRARY = sysconfig.get_config_var("EXT_SUFFIX")


def main() -> int:
    """Set up the environment and return the exit status."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    gathered = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent / "gathered"
    python = environment(folder)
    if not install(python, gathered):
        return 1
    print(f"compiled engine: {native(python, gathered)}", flush=True)
    return 0


def environment(folder: Path) -> Path:
    """Create a virtual environment that sees this Python's packages, and return its interpreter.

    `system-site-packages` is not enough, because this Python may itself be in a virtual environment.
    """
    venv.EnvBuilder(clear=True, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    own = next((folder / "lib").glob("python3*/site-packages"))
    (own / "outer.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    return python


def install(python: Path, gathered: Path) -> bool:
    """Install the gathered requirements that are missing here, and return whether that succeeded."""
    requirements = gathered / "requirements.txt"
    if not requirements.is_file():
        print(f"{gathered}: nothing gathered here; trying with the packages of this Python", flush=True)
        return True
    wheels = str(gathered / "wheels")
    options = ["--no-compile", "--find-links", wheels, "--requirement", str(requirements)]
    if _pip_install(python, options).returncode == 0:
        return True
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"the gathered wheels are for Python 3.12 on Linux x86-64; this is Python {version}", flush=True)
    return False


def _pip_install(python: Path, options: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run pip without a network."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", *options]
    return subprocess.run(command, check=False, timeout=seconds, env=_without_pip_settings())


def _without_pip_settings() -> dict[str, str]:
    """Return the environment without pip's settings, which may name servers that can't be reached."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def native(python: Path, gathered: Path) -> str:
    """Install the compiled engine, and return its origin as text."""
    if _loads(python):
        return "was here"
    folder = gathered / "native"
    sources = folder / "sources.sha256"
    if sources.is_file() and sources.read_text(encoding="utf-8") == native_digest(ROOT):
        for module in folder.glob(f"_core*{SHARED_LIBRARY}"):
            shutil.copy(module, NATIVE)
            if _loads(python):
                return "gathered"
            (NATIVE / module.name).unlink()
    try:
        _pip_install(python, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        return f"not built within {BUILD_SECONDS} s; torch runs everything"
    return "built here" if _loads(python) else "not built; torch runs everything"


def _loads(python: Path) -> bool:
    """Return whether the compiled engine can be imported."""
    command = [str(python), "-c", "import neural_fx.native._core"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def native_digest(root: Path) -> str:
    """Return the SHA-256 of the names and contents of the compiled engine's sources."""
    found = hashlib.sha256()
    native = root / "neural_fx" / "native"
    for file in sorted(native.rglob("*")):
        if file.suffix in (".cpp", ".hpp", ".txt"):
            found.update(file.relative_to(native).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
