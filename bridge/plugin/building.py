"""Build the plugins with CMake and the DISTRHO Plugin Framework, and put them where hosts look."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bridge.errors import BridgeError
from neural_fx import __version__
from neural_fx.errors import reason
from neural_fx.files import replacing

NAMES = ("NeuralFX", "NeuralFXMono", "NeuralInstrument")
FORMATS = (".vst3", ".lv2", ".clap")
DPF = Path("/usr/share/dpf")
"""Where Debian's `dpf-source` is."""

_WINDOWS = {
    "CMAKE_SYSTEM_NAME": "Windows",
    "CMAKE_SYSTEM_PROCESSOR": "x86_64",
    "CMAKE_C_COMPILER": "x86_64-w64-mingw32-gcc-posix",
    "CMAKE_CXX_COMPILER": "x86_64-w64-mingw32-g++-posix",
    "CMAKE_RC_COMPILER": "x86_64-w64-mingw32-windres",
    "CMAKE_SHARED_LINKER_FLAGS": "-static",
    "CMAKE_MODULE_LINKER_FLAGS": "-static",
    "NFX_LV2": "OFF",
}
_HEADERS = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")


def default_folder(windows: bool = False) -> Path:
    """Where plugins are built unless said otherwise: in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "neural-fx" / f"plugins-{__version__}{'-windows' if windows else ''}"


def build(
    folder: Path | None = None,
    dpf: Path = DPF,
    windows: bool = False,
    jobs: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Build the plugins; what is up to date is not built again.

    Args:
        folder: of the build; None for `default_folder`.
        dpf: the framework.
        windows: build for Windows, with MinGW (VST3 and CLAP alone).
        jobs: compilers at a time; 0 for one per core.
        log: told every line that CMake and the compilers write.

    Returns:
        The plugins' files and folders, in FOLDER/bin.

    Raises:
        BridgeError: something is missing (says which package has it), or the build failed (with its last lines).
    """
    folder = (folder or default_folder(windows)).resolve()
    _check_tools(dpf, windows)
    folder.mkdir(parents=True, exist_ok=True)
    options = {"DPF_PATH": str(dpf.resolve()), "CMAKE_BUILD_TYPE": "Release", **(_WINDOWS if windows else {})}
    if windows:  # the cross compiler looks for headers in its own folders alone
        options["JSON_INCLUDE"] = next(h for h in _HEADERS if (Path(h) / "nlohmann/json.hpp").exists())
    source = Path(__file__).parent
    _run(["cmake", "-S", str(source), "-B", str(folder), *(f"-D{k}={v}" for k, v in options.items())], log)
    _run(["cmake", "--build", str(folder), "--config", "Release", "-j", str(jobs or os.cpu_count() or 1)], log)
    return _bundles(folder)


def _bundles(folder: Path) -> list[Path]:
    places = (folder / "bin" / f"{name}{suffix}" for suffix in FORMATS for name in NAMES)
    return [place for place in places if place.exists()]


def _check_tools(dpf: Path, windows: bool) -> None:
    if not (dpf / "distrho" / "DistrhoPlugin.hpp").exists():
        raise BridgeError(
            f"the DISTRHO Plugin Framework is not at {dpf}; install it (Debian: apt-get install dpf-source) or say "
            "where it is with --dpf DIR"
        )
    compiler = ("x86_64-w64-mingw32-g++-posix",) if windows else ("c++", "g++", "clang++", "cl")
    wanted = {
        "CMake": (("cmake",), "cmake"),
        "a C++ compiler": (compiler, "g++-mingw-w64-x86-64-posix" if windows else "g++"),
    }
    for what, (commands, package) in wanted.items():
        if not any(map(shutil.which, commands)):
            raise BridgeError(f"{what} is missing (Debian: apt-get install {package})")
    if sys.platform == "linux" and not any((Path(h) / "nlohmann/json.hpp").exists() for h in _HEADERS):
        raise BridgeError("the JSON library is missing (Debian: apt-get install nlohmann-json3-dev)")


def _run(command: list[str], log: Callable[[str], None]) -> None:
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            log(lines[-1])
    if process.returncode:
        tail = [line for line in lines if "rror" in line][:5] or lines[-8:]
        raise BridgeError("the build failed:\n" + "\n".join(tail))


def _homes() -> dict[str, Path]:
    """The user's plugin folders by suffix."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library/Audio/Plug-Ins"
        return {".vst3": base / "VST3", ".lv2": base / "LV2", ".clap": base / "CLAP"}
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local")) / "Programs/Common"
        return {".vst3": local / "VST3", ".clap": local / "CLAP", ".lv2": home / "AppData/Roaming/LV2"}
    return {".vst3": home / ".vst3", ".lv2": home / ".lv2", ".clap": home / ".clap"}


def install(folder: Path | None = None) -> list[Path]:
    """Copy what `build` made into the user's plugin folders; older copies are replaced.

    Returns:
        The installed files and folders.

    Raises:
        BridgeError: nothing has been built there, or a folder cannot be written.
    """
    bundles = _bundles((folder or default_folder()).resolve())
    if not bundles:
        raise BridgeError(f"no plugins in {folder or default_folder()}; run `neural-fx plugin build` first")
    installed = []
    for bundle in bundles:
        home = _homes()[bundle.suffix]
        target, part = home / bundle.name, home / f".{bundle.name}.part"
        try:
            home.mkdir(parents=True, exist_ok=True)
            _remove(part)
            shutil.copytree(bundle, part) if bundle.is_dir() else shutil.copy2(bundle, part)
            _remove(target)
            part.rename(target)
        except OSError as error:
            raise BridgeError(f"{target}: cannot be written: {reason(error)}") from None
        installed.append(target)
    return installed


def settings_file() -> Path:
    """What new instances of the plugins read; see `src/settings.hpp`."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "neural-fx" / "plugin"
    return Path.home() / ".config" / "neural-fx" / "plugin"


def connect(worker: str, board: str = "", token: str = "") -> Path:
    """Say which worker and board new instances of the plugins play through; sessions keep their own.

    Args:
        worker: HOST:PORT of its streaming port.
        board: a name there; "" for the first that fits.
        token: the worker's, if it wants one.

    Raises:
        BridgeError: not an address, or the file cannot be written.
    """
    host, colon, port = worker.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise BridgeError(f"{worker!r}: expected HOST:PORT, such as localhost:9010")
    if any("\n" in value for value in (worker, board, token)):
        raise BridgeError("a setting is one line")
    place = settings_file()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place, mode=0o600) as part:  # it may hold a token
            part.write_text(f"worker={worker}\nboard={board}\ntoken={token}\n", encoding="utf-8")
    except OSError as error:
        raise BridgeError(f"{place}: cannot be written: {reason(error)}") from None
    return place


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
