"""What every test has: no network beyond loopback, few threads, no window, an honest count of skips."""

import importlib.util
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUARD = ROOT / "tests" / "guard"

# Set before torch, matplotlib or a hub client is imported: each reads these once. Children inherit them, so
# notebooks, cluster workers and commands run under the same rules; the guard is their sitecustomize.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_THREADS = max(1, min(4, _CORES // _WORKERS, int(os.environ.get("OMP_NUM_THREADS", _CORES))))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = str(_THREADS)
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    GRADIO_ANALYTICS_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
    MPLBACKEND="Agg",
    PYTHONPATH=os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")])),
)
# A process that was started in the background ignores Ctrl-C, and its children with it: tests of interrupts send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("http_proxy", "https_proxy", "all_proxy"):
    # a proxy on loopback would be a way out past the guard
    os.environ.pop(_name, None), os.environ.pop(_name.upper(), None)


def _load_guard():
    early = sys.modules.get("sitecustomize")  # a worker of pytest-xdist has started with it
    if Path(getattr(early, "__file__", None) or ".").resolve().parent == GUARD:
        return early
    spec = importlib.util.spec_from_file_location("labkit_guard", GUARD / "sitecustomize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_guard = _load_guard()


@pytest.fixture(autouse=True)
def blocked():
    """The addresses beyond loopback that this test tried to reach; what is left in it fails the test.

    A test that tries on purpose looks at the list and clears it.
    """
    _guard.ATTEMPTS.clear()
    yield _guard.ATTEMPTS
    if _guard.ATTEMPTS:
        tried, _guard.ATTEMPTS[:] = list(_guard.ATTEMPTS), []
        pytest.fail(f"tried to reach beyond loopback: {', '.join(tried)}")


def absent(reason: str):
    """Skips the test because a part is not there; under CI=true, where every part must be, fails it."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be missing)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def missing():
    """`missing(reason)` skips the test, or fails it under CI=true."""
    return absent


@pytest.fixture(scope="module")
def tiny():
    """A lab of small random models, one for the tests of a module."""
    from tests.conformance import TinyLab  # torch: not every test needs it

    return TinyLab()


@pytest.fixture(scope="module")
def own_bank(tmp_path_factory):
    """The folder of the scene banks while the tests of this module run: theirs alone."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("bank")
        patch.setenv("LABKIT_BANK", str(path))
        yield path


@pytest.fixture
def chromium() -> str:
    """The path of a Chromium or Chrome; the test skips (CI=true: fails) where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    absent("no Chromium: on Debian, apt-get install chromium fonts-dejavu-core")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Makes the last line count skips when there are none, too: `123 passed, 0 skipped in 4.56s`."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist
        return
    original = reporter.build_summary_stats_line

    def with_skips():
        parts, colour = original()
        if not any(text.endswith(" skipped") for text, _ in parts):
            parts.append(("0 skipped", {colour: True}))
        return parts, colour

    reporter.build_summary_stats_line = with_skips
