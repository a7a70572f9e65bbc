"""Build the plugins with CMake and the DISTRHO Plugin Framework, and install them where hosts look for plugins."""

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
"""Folder in which Debian's `dpf-source` installs the framework."""

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
    """Return the default build folder, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "neural-fx" / f"plugins-{__version__}{'-windows' if windows else ''}"


def build(
    folder: Path | None = None,
    dpf: Path = DPF,
    windows: bool = False,
    jobs: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Build the plugins. Only builds what is out of date.

    Args:
        folder: build folder; None for `default_folder`.
        dpf: folder of the DISTRHO Plugin Framework.
        windows: build VST3 and CLAP for Windows with MinGW.
        jobs: compilers to run at the same time; 0 runs one per core.
        log: called with every line that CMake and the compilers print.

    Returns:
        The plugins' files and folders, in FOLDER/bin.

    Raises:
        BridgeError: a tool is missing, or the build failed. The message names the package of the missing tool, or has
            the last lines of the build.
    """
    folder = (folder or default_folder(windows)).resolve()
    _check_tools(dpf, windows)
    folder.mkdir(parents=True, exist_ok=True)
    options = {"DPF_PATH": str(dpf.resolve()), "CMAKE_BUILD_TYPE": "Release", **(_WINDOWS if windows else {})}
    if windows:  # the cross compiler only looks for headers in its own folders
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
            f"the DISTRHO Plugin Framework is not at {dpf}; install it (Debian: apt-get install dpf-source) "
            "or give its folder with --dpf DIR"
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
    """Return the user's plugin folders by suffix."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library/Audio/Plug-Ins"
        return {".vst3": base / "VST3", ".lv2": base / "LV2", ".clap": base / "CLAP"}
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local")) / "Programs/Common"
        return {".vst3": local / "VST3", ".clap": local / "CLAP", ".lv2": home / "AppData/Roaming/LV2"}
    return {".vst3": home / ".vst3", ".lv2": home / ".lv2", ".clap": home / ".clap"}


def install(folder: Path | None = None) -> list[Path]:
    """Copy built plugins into the user's plugin folders. Replaces older copies.

    Args:
        folder: build folder; None for `default_folder`.

    Returns:
        The installed files and folders.

    Raises:
        BridgeError: the build folder has no plugins, or a plugin folder cannot be written.
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
    """Return the file that new plugin instances read; see `src/settings.hpp`."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "neural-fx" / "plugin"
    return Path.home() / ".config" / "neural-fx" / "plugin"


def connect(worker: str, board: str = "", token: str = "") -> Path:
    """Choose the worker and board that new plugin instances play through. Saved sessions keep their own.

    Args:
        worker: streaming port of the worker, as HOST:PORT.
        board: board or instrument of the worker; "" for the first that fits.
        token: token of the worker, if it needs one.

    Returns:
        The settings file that was written.

    Raises:
        BridgeError: `worker` is not an address, or the file cannot be written.
    """
    host, colon, port = worker.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise BridgeError(f"{worker!r}: expected HOST:PORT, such as localhost:9010")
    if any("\n" in value for value in (worker, board, token)):
        raise BridgeError("a worker, board or token cannot contain a line break")
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
