"""The wheel carries all it needs: built, put into an empty environment, it paints from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("labkit", "data", "pyproject.toml", "setup.py", "MANIFEST.in", "requirements.txt", "constraints.txt",
         "README.md", "LICENSE")  # fmt: skip


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=env or None, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """labkit's wheel, built from a copy: old build folders stay out of it, new ones out of the checkout."""
    tree = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / part)
    out = tmp_path_factory.mktemp("dist")
    # no isolation, no index: the build backend is among our requirements and nothing is fetched
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, "-w", out, ".", cwd=tree)
    (built,) = out.glob("labkit-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The Python of an environment that holds this wheel, and nothing of the checkout.

    Its requirements (gigabytes with torch) are not fetched again but lent by a .pth file, which puts the
    current site-packages on the path, behind the environment's own. Python reads no .pth files *in* such a
    folder, so an editable labkit, which hangs on one, stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    # first: while nothing is lent, pip sees an empty environment and has nothing to uninstall
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=folder)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-I", "-c", ask, cwd=folder).strip())
    lent = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "lent.pth").write_text("\n".join(lent) + "\n", encoding="utf-8")
    # PYTHONPATH is cleared below, so the guard against the network comes along here
    shutil.copy(ROOT / "tests" / "guard" / "sitecustomize.py", site)
    return python


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def test_wheel_carries_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(archive.read(n).decode() for n in names if n.endswith(".dist-info/METADATA"))
    data = {p.relative_to(ROOT / "data").as_posix() for p in (ROOT / "data").rglob("*") if p.is_file()}
    assert {f"labkit/_data/{name}" for name in data} <= names
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "labkit").rglob("*.py")}
    assert modules <= names
    assert {n.partition("/")[0] for n in names if ".dist-info/" not in n} == {"labkit"}
    assert "Requires-Dist: torch>=" in metadata
    assert 'Requires-Dist: pytest>=8.3; extra == "test"' in metadata, "tests are an extra of the wheel"


def test_labkit_is_the_installed_one(python, tmp_path):
    ask = "import labkit, labkit.data as d; print(labkit.__file__); print(d.data_path('world', 'words.json'))"
    lines = run(python, "-c", ask, cwd=tmp_path, **clean_environment()).splitlines()
    environment = python.parents[1].resolve()
    for path in (Path(line).resolve() for line in lines):
        assert environment in path.parents and ROOT not in path.parents
        assert path.is_file()


def test_paints_from_another_folder(python, tmp_path):
    """The whole way: pocket models from the wheel's own data, a picture in a folder that is no checkout."""
    paint = ["paint", "a red apple", "--steps", "2", "--seed", "1", "--out", "x.png"]
    run(python, "-m", "labkit", *paint, cwd=tmp_path, **clean_environment())
    with Image.open(tmp_path / "x.png") as picture:
        picture.load()
        assert min(picture.size) >= 32
        assert len(set(picture.convert("RGB").resize((16, 16)).tobytes())) > 8, "a blank picture"
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"], "leaves nothing else behind"
