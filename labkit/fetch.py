"""Downloading one file so that it is whole, checked and never fetched twice.

Several sources are tried in order, and again where that may help, within limits of size and time. What has
arrived lies in a `.part` file beside the target and is resumed by an HTTP range request (RFC 9110, `If-Range`
guards against a file that changed meanwhile); the finished file is hashed and only then renamed into place,
so a target that exists is complete.
"""

import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from labkit.weights import recognise

log = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUT = 30.0

Progress = Callable[[int, int | None], None]
"""Called as progress(bytes at hand, bytes in all or None where the server does not say)."""


class DownloadError(OSError):
    """No source gave the file; `tried` pairs each source with its error. `final`: trying again later will not help."""

    def __init__(self, tried: list[tuple[str, str]], final: bool = False) -> None:
        super().__init__("; ".join(f"{url}: {error}" for url, error in tried) or "no source is known")
        self.tried, self.final = tried, final


class _SourceError(OSError):
    """This source will not do; another may. `final`: it will not do later either."""

    def __init__(self, words: str, final: bool = False) -> None:
        super().__init__(words)
        self.final = final


@dataclass(frozen=True)
class Limits:
    """What a download may take: `size` bytes of a file, `silence` seconds without a byte, `seconds` in all (each None: any),
    `tries` of each source, with `pause`, twice `pause`, … seconds between them."""

    size: int | None = None
    silence: float = TIMEOUT
    seconds: float | None = None
    tries: int = 1
    pause: float = 1.0


TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # answers that may be another one in a moment (RFC 9110, 6585)


def sha256_of(path: Path) -> str:
    """The hexadecimal sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def sidecar(target: Path) -> Path:
    """Where a download's record lies: url, sha256, size and whether the hash was known beforehand."""
    return target.with_name(target.name + ".json")


def download(
    sources: tuple[str, ...], target: Path, sha256: str | None = None, progress: Progress | None = None,
    limits: Limits = Limits(), quiet: bool = False,
) -> Path:
    """Fetch the first source that serves the file into `target` and return it; no request where it exists.

    `sha256` may be its first digits alone, where no more are published. None: the file cannot be verified,
    which is logged as a warning (unless `quiet`: of pictures, which nobody has checksums of); its hash is recorded
    in `sidecar(target)` either way. An interrupted download goes on where it stopped; `limits` bound size and
    time, and say how often a source is tried. Raises DownloadError with every source's error.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(target.name + ".lock")):
        if target.is_file():
            return target
        tried, final = [], []
        for url in sources:
            try:
                part = _fetch_with_tries(url, target, progress, limits)
                _check_content(part)
                found = sha256_of(part)
                if sha256 is not None and not found.startswith(sha256):
                    part.unlink()
                    raise _SourceError(f"sha256 is {found}, expected {sha256}; the download was thrown away")
            except (OSError, http.client.HTTPException) as error:
                tried.append((url, str(error) or type(error).__name__))
                final.append(getattr(error, "final", False))
                continue
            record = {
                "url": url,
                "sha256": found,
                "size": part.stat().st_size,
                "verified": sha256 is not None,
            }
            sidecar(target).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            if sha256 is None and not quiet:
                log.warning(
                    "%s: not verified, no checksum is published; its sha256 is %s", target.name, found
                )
            os.replace(part, target)
            _validator_file(part).unlink(missing_ok=True)
            return target
        raise DownloadError(tried, bool(final) and all(final))


def read_small(url: str, most: int, silence: float = TIMEOUT) -> bytes:
    """What an address answers, kept nowhere: a list, of at most `most` bytes. Raises DownloadError."""
    try:
        _check_url(url)
        asked = urllib.request.Request(url, headers={"User-Agent": "labkit"})
        with urllib.request.urlopen(asked, timeout=silence) as response:
            _check_url(response.geturl())
            found = response.read(most + 1)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError([(url, str(error) or type(error).__name__)], getattr(error, "final", False)) from error
    if len(found) > most:
        raise DownloadError([(url, f"is larger than {most / 1e6:g} MB")], final=True)
    return found


def _fetch_with_tries(url: str, target: Path, progress: Progress | None, limits: Limits) -> Path:
    for k in range(limits.tries):
        try:
            return _fetch_part(url, target, progress, limits)
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "final", False) or k + 1 == limits.tries:
                raise
            time.sleep(limits.pause * 2**k)
    raise ValueError(f"tries: {limits.tries} must be at least 1")


def _check_content(part: Path) -> None:
    """A host may call its web page a file; it is thrown away, so that the next try starts anew."""
    kind = recognise(part)
    if kind.name in ("text", "pointer"):
        part.unlink()
        raise _SourceError(f"answered with {kind.words}", final=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".from")


def _check_url(url: str) -> None:
    """https only; plain http from this machine itself."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    ):
        return
    raise _SourceError(f"refused: {parts.scheme or 'no scheme'} is not https", final=True)


def _resume_point(part: Path, url: str) -> tuple[int, str]:
    """Bytes of this very source that are at hand, with the validator they came under; (0, "") to start
    anew."""
    if not part.is_file() or not _validator_file(part).is_file():
        return 0, ""
    source, _, validator = _validator_file(part).read_text(encoding="utf-8").partition("\n")
    return (part.stat().st_size, validator) if source == url else (0, "")


def _fetch_part(url: str, target: Path, progress: Progress | None, limits: Limits) -> Path:
    """The whole of `url` as a .part file beside the target, resumed where one is there."""
    _check_url(url)
    part = target.with_name(target.name + ".part")
    have, validator = _resume_point(part, url)
    started = time.monotonic()
    headers = {"User-Agent": "labkit", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=limits.silence)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            part.unlink()
            return _fetch_part(url, target, progress, limits)
        raise _SourceError(f"HTTP {error.code} {error.reason}", final=error.code not in TRANSIENT) from error
    with response:
        _check_url(response.geturl())
        if response.headers.get_content_type() == "text/html":
            raise _SourceError("answered with a web page instead of the file", final=True)
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _SourceError(f"resumed at the wrong place: {response.headers.get('Content-Range')}")
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        tag = response.headers.get("ETag", "")
        strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        _validator_file(part).write_text(f"{url}\n{strong}", encoding="utf-8")
        with open(part, "ab" if resumed else "wb") as file:
            while True:
                if limits.size is not None and max(have, total or 0) > limits.size:
                    os.unlink(part)  # it shall not be gone on with
                    raise _SourceError(f"is larger than {limits.size / 1e6:g} MB", final=True)
                if limits.seconds is not None and time.monotonic() - started > limits.seconds:
                    raise _SourceError(f"took more than {limits.seconds:g} s")
                piece = response.read1(CHUNK)  # what there is: a server may send a byte at a time
                if not piece:
                    break
                file.write(piece)
                have += len(piece)
                if progress:
                    progress(have, total)
    if total is not None and have != total:
        raise _SourceError(
            f"the connection ended at {have} of {total} bytes; the next try goes on from there"
        )
    return part
