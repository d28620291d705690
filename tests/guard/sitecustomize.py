"""Keeps a process from reaching beyond loopback; imported at start-up where this folder is on its path.

It listens to the interpreter's own audit events (PEP 578), which every socket call raises before it acts,
whatever library makes it. AF_UNIX sockets, 127.0.0.0/8, ::1 and names for them pass; all else gets a
`BlockedConnection`.
"""

import ipaddress
import sys

ATTEMPTS: list[str] = []
_LOCAL_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", ""}


class BlockedConnection(ConnectionError):
    """What a process without a network would see, with the address in it."""


def is_local(host: object) -> bool:
    """Is this host (a name or address; None and "" mean any interface of this machine) on this machine?"""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name.lower() in _LOCAL_NAMES


def _refuse(event: str, target: object) -> None:
    ATTEMPTS.append(f"{event} {target}")
    raise BlockedConnection(f"tests run offline: {event} {target!r} is beyond loopback")


def _audit(event: str, args: tuple) -> None:
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and isinstance(address[0], str) and not is_local(address[0]):
            _refuse(event, address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        # this machine's own name or a numeric address asks nobody; another name is a query on the network
        host = args[0]
        if not is_local(host) and not _is_numeric(host) and str(host) != _own_name():
            _refuse(event, host)


def _is_numeric(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _own_name() -> str:
    import os

    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


sys.addaudithook(_audit)
