"""The set-up of a notebook: on Colab it adds what labkit lacks there and leaves torch alone, elsewhere it only reports.

On Colab packages are installed with `--no-deps`: a resolver that may swap torch breaks torchvision ("operator
torchvision::nms does not exist"). As pip then checks nothing, what the new packages need is looked up in their own
metadata, and torch's version is compared with what it was.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import labkit
from labkit.check import declared_requirements

# What Colab brings, in versions that fit each other. If one is missing, something else is wrong: it is not installed.
GIVEN = frozenset({"torch", "torchvision", "numpy"})
# A notebook runs inside these: they are there, or are not needed.
UNNEEDED = frozenset({"jupyterlab", "jupyter"})
ROUNDS = 6  # of looking for what the packages just installed need

Install = Callable[[list[str]], None]


def set_up(install: Install | None = None) -> None:
    """Make labkit usable in this kernel and print a line on what it runs on. Raises RuntimeError if torch changed.

    Off Colab nothing is installed. `install` takes pip's arguments; by default it runs pip.
    """
    if "COLAB_RELEASE_TAG" in os.environ:
        checkout = Path(labkit.__file__).resolve().parents[1]
        before = version_of("torch")
        added = add_missing(install or pip, checkout)
        after = version_of("torch")
        if before != after:
            raise RuntimeError(f"torch was {before} and is {after} now: restart the runtime and run this cell again")
        print(f"added {', '.join(added)}; torch is still {after}" if added else f"nothing to add; torch {after}")
    print(machine())


def add_missing(install: Install, checkout: Path) -> list[str]:
    """Install the packages labkit needs and this Python lacks, theirs too, without dependencies; returns their names."""
    wanted, added = declared_requirements()[0], []
    if version_of("labkit") is None and (checkout / "pyproject.toml").is_file():
        install(["--no-deps", "-e", str(checkout)])
    for _ in range(ROUNDS):
        lacking = {canonicalize_name(r.name): r for r in wanted if absent(r)}
        lacking = {name: r for name, r in lacking.items() if name not in added}
        if not lacking:
            break
        install(["--no-deps", *(f"{r.name}{r.specifier}" for r in lacking.values())])
        importlib.invalidate_caches()
        added += lacking
        wanted = [r for name in lacking for r in requirements_of(name)]
    return added


def absent(requirement: Requirement) -> bool:
    """Whether a package is missing that may be added."""
    name = canonicalize_name(requirement.name)
    return name not in GIVEN | UNNEEDED and version_of(name) is None


def requirements_of(name: str) -> list[Requirement]:
    """What an installed package needs here, extras left out; nothing for one that is not installed."""
    try:
        listed = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in listed]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]


def version_of(name: str) -> str | None:
    """The installed version of a package; None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def pip(arguments: list[str]) -> None:
    """Run this Python's pip. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)


def machine() -> str:
    """Versions, device and free memory in a line: what times and pictures depend on."""
    import psutil
    import torch

    runtime = os.environ.get("COLAB_RELEASE_TAG")
    memory = psutil.virtual_memory()
    cpu = f"CPU ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"
    gpu = "no GPU"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        gpu = f"{torch.cuda.get_device_name()} ({free / 2**30:.0f} of {total / 2**30:.0f} GiB free)"
    ours = labkit.__version__.replace("unknown", "(a checkout)")
    return ", ".join([
        *([f"Colab runtime {runtime}"] if runtime else []),
        f"labkit {ours}", f"Python {sys.version.split()[0]}", f"torch {torch.__version__}", cpu, gpu,
        f"{memory.available / 2**30:.0f} of {memory.total / 2**30:.0f} GiB of memory free",
    ])  # fmt: skip
