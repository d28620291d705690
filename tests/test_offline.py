"""The guard itself: what it refuses, what it lets pass, and that child processes have it too."""

import socket
import subprocess
import sys
import urllib.request

import pytest

OUTSIDE = "192.0.2.1"  # TEST-NET-1 of RFC 5737: nobody is there


def test_outside_is_refused_and_noted(blocked):
    with pytest.raises(ConnectionError, match=OUTSIDE):
        socket.create_connection((OUTSIDE, 80), timeout=1)
    assert len(blocked) == 1 and OUTSIDE in blocked[0]
    blocked.clear()


def test_datagrams_are_refused(blocked):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, pytest.raises(ConnectionError):
        sender.sendto(b"x", (OUTSIDE, 53))
    blocked.clear()


@pytest.mark.parametrize("host", ["example.org", b"example.org"])
def test_names_are_not_looked_up(blocked, host):
    with pytest.raises(ConnectionError, match="example"):
        socket.getaddrinfo(host, 443)
    blocked.clear()


def test_a_library_sees_a_machine_without_network(blocked):
    with pytest.raises(OSError, match="offline"):
        urllib.request.urlopen(f"http://{OUTSIDE}/")
    blocked.clear()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_loopback_passes(host):
    with socket.create_server(("127.0.0.1" if host == "localhost" else host, 0)) as server:
        with socket.create_connection((host, server.getsockname()[1]), timeout=5) as client:
            assert client.getpeername() == server.getsockname()


def test_unix_sockets_pass(tmp_path, monkeypatch):
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("no AF_UNIX on this system")
    monkeypatch.chdir(tmp_path)  # such a path has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_children_are_guarded():
    code = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode != 0 and "BlockedConnection" in child.stderr


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_parts_skip_but_fail_under_ci(monkeypatch, missing, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no such part"):
        missing("no such part")
