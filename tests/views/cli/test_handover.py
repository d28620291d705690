"""Commands that become another program: what is killed by its pid is the server itself, and its port is free again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from labkit.views.cli import handover, main
from labkit.views.cli.commands import apps, lab

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(handover.ROOT), os.environ.get("PYTHONPATH", "")])}

SERVER = """import http.server as h, sys
h.HTTPServer(("127.0.0.1", int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_killed_by_its_pid_it_leaves_its_port(end, tmp_path):
    port = free_port()
    ask = f"from labkit.views.cli.handover import hand_over; hand_over(['-c', {SERVER!r}, '{port}'])"
    process = subprocess.Popen([sys.executable, "-c", ask], cwd=tmp_path, stderr=subprocess.DEVNULL, env=ENV)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(end)
        process.wait(60)
    finally:
        process.kill()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    assert not answers(port)


def test_the_exit_code_and_folder_are_the_program_s(tmp_path):
    ask = ("from labkit.views.cli.handover import hand_over; from pathlib import Path; print('before'); "
           f"hand_over(['-c', 'import os; print(os.getcwd()); raise SystemExit(3)'], Path({str(tmp_path)!r}))")
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, env=ENV)
    assert done.returncode == 3 and done.stdout.split() == ["before", str(tmp_path.resolve())]


def test_lab_and_apps_hand_over(here, monkeypatch, capsys):
    calls = []
    for command in (lab, apps):
        monkeypatch.setattr(command, "hand_over", lambda command, folder=None: calls.append((command, folder)) or 0)
    monkeypatch.setattr(handover, "ROOT", here)
    monkeypatch.setattr(apps, "ROOT", here)
    assert main(["lab"]) == 2 and main(["apps"]) == 2 and "checkout" in capsys.readouterr().err
    (here / "notebooks").mkdir(), (here / "apps").mkdir(), (here / "apps" / "studio.py").touch()
    assert main(["lab", "--port", "1234"]) == 0 and main(["apps", "--share"]) == 0
    assert "--ServerApp.ip=127.0.0.1" in calls[0][0] and calls[0][0][-2:] == ["--port", "1234"]
    assert calls[1] == (["-m", "apps.studio", "--share"], here)
