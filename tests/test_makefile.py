"""`make`: which Python it takes, what it installs and when, and what it says when it cannot.

Nothing is installed here: the Pythons are stand-ins that write down how they were called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Makefile", "requirements.txt", "constraints.txt", "pyproject.toml", "setup.py")
TOOLS = "make sh awk cat chmod date find getconf nproc id ls mkdir rm sed touch uname".split()

# A Python that serves: answers the probe, "makes" an environment with a copy of itself, logs everything else.
GOOD = """#!/bin/sh
case "$1 $2" in
  "-V "*) echo "Python 3.12.99 ($0)";;
  "-c import sys, venv"*) exit 0;;
  "-m venv") mkdir -p "$4/bin" && cat "$0" > "$4/bin/python" && chmod +x "$4/bin/python"
             echo "venv $0" >> log;;
  "-m labkit") echo "$* (set-up $LABKIT_SETUP_SECONDS)" >> log;;
  *) echo "$*" >> log;;
esac
"""
SHIM = "#!/bin/sh\necho 'shim: command not found' >&2\nexit 127\n"  # is there, but runs nothing
NO_VENV = "#!/bin/sh\nexit 1\n"  # of another version, or without ensurepip: the probe says no


@pytest.fixture
def place(tmp_path, missing):
    """A folder with the Makefile, and a PATH of its own in `bin` without any Python."""
    if shutil.which("make") is None:
        missing("no make")
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    script(tools / "df", "#!/bin/sh\necho Filesystem\necho 'disk 1 1 99999999 1% /'\n")
    script(tools / "chromium", "#!/bin/sh\n")
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def make(place: Path, *args: str, **env: str) -> subprocess.CompletedProcess:
    env = {"PATH": str(place / "bin"), "HOME": str(place), **env}
    return subprocess.run(
        [place / "bin" / "make", *args], cwd=place, env=env, text=True, capture_output=True, timeout=60
    )


def log(place: Path) -> list[str]:
    return (place / "log").read_text(encoding="utf-8").splitlines()


def test_sets_up_once_then_runs(place):
    script(place / "bin" / "python3.12", GOOD)
    assert make(place, "demo").returncode == 0
    first = log(place)
    assert first[0].startswith("venv ")
    assert first[1:3] == [
        "-m pip install -q -r requirements.txt -c constraints.txt",
        "-m pip install -q --no-deps --no-build-isolation -e .",
    ]
    assert "torchvision.ops.nms" in first[3], "torch and torchvision are tried together"
    assert first[4].startswith("-m labkit demo") and len(first) == 5
    assert make(place, "lab", "ARGS=--port 1234").returncode == 0
    assert [line.split(" (")[0] for line in log(place)[5:]] == ["-m labkit lab --port 1234"], "and no more"


def test_new_requirements_are_installed(place):
    script(place / "bin" / "python3.12", GOOD)
    make(place, "setup")
    before = len(log(place))
    future = (place / "requirements.txt").stat().st_mtime + 1000
    os.utime(place / "requirements.txt", (future, future))
    assert make(place, "setup").returncode == 0
    again = log(place)[before:]
    assert again[0].startswith("-m pip install") and not any(x.startswith("venv") for x in again)


def test_failed_set_up_is_not_taken_for_done(place):
    no_pip = '"-m pip") echo "$*" >> log; exit 1;;\n  "-m labkit")'
    script(place / "bin" / "python3.12", GOOD.replace('"-m labkit")', no_pip))
    assert make(place, "demo").returncode != 0
    assert make(place, "demo").returncode != 0
    assert [line.split()[1] for line in log(place)[1:]] == ["pip", "pip"], "tried again, nothing run"


def test_passes_over_pythons_that_do_not_serve(place):
    script(place / "bin" / "python3.12", SHIM)
    script(place / "bin" / "python3.13", NO_VENV)
    script(place / "bin" / "python3.11", GOOD)
    done = make(place, "setup")
    assert done.returncode == 0, done.stderr
    assert log(place)[0].endswith("python3.11")


def test_python_can_be_chosen(place):
    script(place / "bin" / "python3.12", GOOD)
    script(place / "mine", GOOD)
    assert make(place, "setup", f"PYTHON={place / 'mine'}").returncode == 0
    assert log(place)[0].endswith("/mine")


def test_without_python_says_what_to_install(place):
    script(place / "bin" / "python3.12", SHIM)
    done = make(place, "demo")
    assert done.returncode != 0 and not (place / "log").exists()
    assert "apt-get install python3 python3-venv" in done.stdout and "PYTHON=" in done.stdout


def test_disk_is_checked_before_fetching(place):
    script(place / "bin" / "python3.12", GOOD)
    script(place / "bin" / "df", "#!/bin/sh\necho Filesystem\necho 'disk 1 1 6291456 1% /'\n")
    script(place / "bin" / "uname", "#!/bin/sh\necho Linux\n")
    done = make(place, "demo")
    assert done.returncode != 0 and "6 GB are free" in done.stdout and "TORCH_INDEX" in done.stdout
    assert not any("pip" in line for line in log(place))
    assert make(place, "demo", "TORCH_INDEX=https://wheels.invalid/cpu").returncode == 0, "CPU wheels fit"


@pytest.mark.parametrize("folder", [False, True])
def test_cpu_wheels_come_first(place, folder):
    script(place / "bin" / "python3.12", GOOD)
    (place / "wheels").mkdir()
    index = str(place / "wheels") if folder else "https://wheels.invalid/cpu"
    assert make(place, "setup", f"TORCH_INDEX={index}").returncode == 0
    option = "--no-index --find-links" if folder else "--index-url"
    assert log(place)[1].split("torchvision ")[1] == f"{option} {index}"
    assert log(place)[1].startswith("-m pip install -q --no-deps -c constraints.txt torch ")
    assert "requirements.txt" in log(place)[2]


def test_set_up_time_reaches_the_demo(place):
    script(place / "bin" / "python3.12", GOOD)
    make(place, "demo")
    seconds = log(place)[-1].rpartition("set-up ")[2].rstrip(")")
    assert 0 <= int(seconds) < 60


def test_a_failing_demo_fails_make(place):
    script(place / "bin" / "python3.12", GOOD.replace('"-m labkit") echo', '"-m labkit") exit 3; echo'))
    assert make(place, "demo").returncode != 0


def test_test_runs_ruff_and_pytest(place):
    script(place / "bin" / "python3.12", GOOD)
    assert make(place, "test", "WORKERS=2").returncode == 0
    assert log(place)[-2:] == ["-m ruff check .", "-m pytest -q -n 2 --dist worksteal"]
    assert make(place, "soak").returncode == 0
    assert log(place)[-1] == "-m pytest -q -m soak"


def test_missing_chromium_is_named_and_tests_go_on(place):
    script(place / "bin" / "python3.12", GOOD)
    (place / "bin" / "chromium").unlink()
    done = make(place, "test", "WORKERS=1")
    assert done.returncode == 0 and "apt-get install chromium" in done.stdout
    assert log(place)[-1] == "-m pytest -q -n 1 --dist worksteal"


def test_root_gets_chromium_from_debian(place):
    script(place / "bin" / "python3.12", GOOD)
    (place / "bin" / "chromium").unlink()
    (place / "bin" / "id").unlink()
    script(place / "bin" / "id", "#!/bin/sh\necho 0\n")
    script(place / "bin" / "apt-get", '#!/bin/sh\necho "apt-get $*" >> log\n')
    assert make(place, "test", "WORKERS=1").returncode == 0
    fetched = [line for line in log(place) if line.startswith("apt-get")]
    assert fetched[0].startswith("apt-get update") and fetched[1].endswith("chromium fonts-dejavu-core")


def test_clean_keeps_the_environment_and_the_runs(place):
    script(place / "bin" / "python3.12", GOOD)
    make(place, "setup")
    for name in ("build", "runs", "out", "labkit/__pycache__", ".venv/lib/__pycache__"):
        (place / name).mkdir(parents=True)
    assert make(place, "clean").returncode == 0
    left = {p.name for p in place.iterdir()}
    assert {".venv", "runs", "out"} <= left and "build" not in left
    assert not (place / "labkit" / "__pycache__").exists() and (place / ".venv/lib/__pycache__").exists()


def test_help_lists_every_target(place):
    done = make(place)
    for target in ("demo", "test", "lab", "apps", "soak", "check", "clean", "help"):
        assert f"make {target} " in done.stdout
    assert "TORCH_INDEX" in done.stdout and "PYTHON" in done.stdout


def test_ci_runs_make_test():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\nset -euo pipefail\n") and "make test" in text
