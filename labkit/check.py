"""The environment self-check: does everything that labkit needs work here, and which models are at hand?

    python -m labkit check

Each package of requirements.txt is imported, not only looked up: a torchvision that does not fit its torch
has a version too. Nothing is printed, fetched or changed here; the command prints
`format_findings(check_environment())`.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from labkit.data import data_path

PYTHONS = ((3, 11), (3, 13))
MEMORY_GB = 3.0  # one app with all pocket models, and the system beside it
DISK_GB = 1.0  # pictures, runs and previews; full-size models bring their own size
# distributions whose module has another name
MODULES = {
    "imageio-ffmpeg": "imageio_ffmpeg",
    "open-clip-torch": "open_clip",
    "pillow": "PIL",
    "pytest-xdist": "xdist",
    "resvg-py": "resvg_py",
    "taming-transformers-rom1504": "taming.modules",
    "ipython": "IPython",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it serves (None: not needed), and what was seen."""

    part: str
    ok: bool | None
    detail: str


def declared_requirements() -> tuple[list[Requirement], list[Requirement]]:
    """What labkit asks for (to run, to test): requirements.txt in a checkout, else the package's metadata.

    Raises `importlib.metadata.PackageNotFoundError` where there is neither.
    """
    listed = Path(__file__).resolve().parents[1] / "requirements.txt"
    if listed.is_file() and listed.with_name("pyproject.toml").is_file():
        parts = listed.read_text(encoding="utf-8").partition("# tests")[::2]
        run, test = ([Requirement(s) for s in part.splitlines() if s[:1].isalpha()] for part in parts)
        return run, test
    found = [Requirement(line) for line in metadata.requires("labkit") or []]
    return [r for r in found if r.marker is None], [r for r in found if r.marker is not None]


def check_package(requirement: Requirement, *, needed: bool = True) -> Finding:
    """Is this package there, in the range asked for, and can it be imported?

    One that is not `needed` is looked up only, and its absence is no failure.
    """
    name = canonicalize_name(requirement.name)
    bad = False if needed else None
    remedy = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, bad, f"missing: {remedy}")
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(name, bad, f"{version}, but labkit needs {requirement.specifier}: {remedy}")
    if not needed:
        return Finding(name, True, version)
    try:
        importlib.import_module(MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # a broken extension raises anything: ImportError, OSError, RuntimeError, …
        cause = next(iter(str(error).splitlines()), "")
        return Finding(name, False, f"{version} does not import: {type(error).__name__}: {cause}")
    return Finding(name, True, version)


def check_environment() -> list[Finding]:
    """All findings, in the order in which they are best read: Python, packages, machine, models."""
    return [*_python(), *_packages(), *_machine(), *_models()]


def _python() -> Iterator[Finding]:
    low, high = PYTHONS
    version = platform.python_version()
    ok = low <= sys.version_info[:2] <= high
    wanted = "" if ok else f", but labkit is tested on {low[0]}.{low[1]} to {high[0]}.{high[1]}"
    yield Finding("python", ok, f"{version}{wanted} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    try:
        run, test = declared_requirements()
    except metadata.PackageNotFoundError:
        yield Finding("labkit", False, "neither installed nor in a checkout: pip install -e . --no-deps")
        return
    for requirement in run:
        yield check_package(requirement)
    for requirement in test:
        yield check_package(requirement, needed=False)


def _machine() -> Iterator[Finding]:
    try:
        import psutil
        import torch
    except Exception:  # the package lines above have said what is wrong with them
        yield Finding("device", False, "unknown without torch and psutil")
        return
    threads = f"{torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        device = f"cuda: {torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    elif torch.backends.mps.is_available():
        device = f"mps: {platform.machine()}"
    else:
        device = f"cpu: {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {threads}"
    yield Finding("device", True, device)
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    yield Finding("memory", free >= MEMORY_GB, f"{free:.1f} of {total:.1f} GiB free, {MEMORY_GB:.0f} needed")
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("disk", disk >= DISK_GB, f"{disk:.1f} GiB free in this folder, {DISK_GB:.0f} needed")


def _models() -> Iterator[Finding]:
    folder = data_path("models")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        yield Finding("pocket models", False, f"none in {folder}: python -m labkit train NAME makes them")
    for path in files:
        yield check_weights(path)
    try:
        from labkit.zoo import WeightsError, entries
    except Exception:  # as in _machine: said above
        return
    try:
        full = [entry for entry in entries() if not entry.pocket]
    except WeightsError as error:
        yield Finding("model registry", False, str(error))
        return
    for entry in full:
        where = str(entry.path) if entry.at_hand else "not fetched (not needed for the pocket models)"
        detail = f"full size, {entry.size / 1e6:.0f} MB, {entry.licence}: {where}"
        yield Finding(f"model {entry.name}", True if entry.at_hand else None, detail)


def check_weights(path: Path) -> Finding:
    """Can this safetensors file be read, and how large is it? Looks at its header, not at each number."""
    from safetensors import SafetensorError, safe_open

    part = f"model {path.stem}"
    try:
        with safe_open(path, framework="pt") as weights:
            count = len(weights.keys())
    except (SafetensorError, OSError) as error:
        return Finding(part, False, f"cannot be read: {error} ({path})")
    return Finding(part, True, f"pocket, {path.stat().st_size / 2**20:.1f} MiB, {count} tensors")


def format_findings(findings: list[Finding]) -> str:
    """The report as text, `OK`, `FAIL` or `-` first; its last line says how many failed."""
    width = max((len(f.part) for f in findings), default=0)
    marks = {True: "OK  ", False: "FAIL", None: "-   "}
    lines = [f"{marks[f.ok]}  {f.part:<{width}}  {f.detail}" for f in findings]
    failed = sum(f.ok is False for f in findings)
    last = f"{failed} of {len(findings)} checks failed" if failed else "Everything labkit needs is here"
    return "\n".join([*lines, last])
