"""Downloading one file so that it is whole, checked and never fetched twice.

Several sources are tried in order. What has arrived lies in a `.part` file beside the target and is resumed
by an HTTP range request (RFC 9110, `If-Range` guards against a file that changed meanwhile); the finished
file is hashed and only then renamed into place, so a target that exists is complete.
"""

import hashlib
import http.client
import json
import logging
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from labkit.weights import recognise

log = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUT = 30.0

Progress = Callable[[int, int | None], None]
"""Called as progress(bytes at hand, bytes in all or None where the server does not say)."""


class DownloadError(OSError):
    """No source gave the file; `tried` pairs each source with its error."""

    def __init__(self, tried: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{url}: {error}" for url, error in tried) or "no source is known")
        self.tried = tried


class _SourceError(OSError):
    """This source will not do; another may."""


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
    sources: tuple[str, ...], target: Path, sha256: str | None = None, progress: Progress | None = None
) -> Path:
    """Fetch the first source that serves the file into `target` and return it; no request where it exists.

    `sha256` None: the file cannot be verified, which is logged as a warning; its hash is recorded in
    `sidecar(target)` either way. An interrupted download goes on where it stopped. Raises DownloadError with
    every source's error.
    """
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(target.name + ".lock")):
        if target.is_file():
            return target
        tried = []
        for url in sources:
            try:
                part = _fetch_part(url, target, progress)
                _check_content(part)
                found = sha256_of(part)
                if sha256 is not None and found != sha256:
                    part.unlink()
                    raise _SourceError(f"sha256 is {found}, expected {sha256}; the download was thrown away")
            except (OSError, http.client.HTTPException) as error:
                tried.append((url, str(error) or type(error).__name__))
                continue
            record = {
                "url": url,
                "sha256": found,
                "size": part.stat().st_size,
                "verified": sha256 is not None,
            }
            sidecar(target).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            if sha256 is None:
                log.warning(
                    "%s: not verified, no checksum is published; its sha256 is %s", target.name, found
                )
            os.replace(part, target)
            _validator_file(part).unlink(missing_ok=True)
            return target
        raise DownloadError(tried)


def _check_content(part: Path) -> None:
    """A host may call its web page a file; it is thrown away, so that the next try starts anew."""
    kind = recognise(part)
    if kind.name in ("text", "pointer"):
        part.unlink()
        raise _SourceError(f"answered with {kind.words}")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".from")


def _check_url(url: str) -> None:
    """https only; plain http from this machine itself."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    ):
        return
    raise _SourceError(f"refused: {parts.scheme or 'no scheme'} is not https")


def _resume_point(part: Path, url: str) -> tuple[int, str]:
    """Bytes of this very source that are at hand, with the validator they came under; (0, "") to start
    anew."""
    if not part.is_file() or not _validator_file(part).is_file():
        return 0, ""
    source, _, validator = _validator_file(part).read_text(encoding="utf-8").partition("\n")
    return (part.stat().st_size, validator) if source == url else (0, "")


def _fetch_part(url: str, target: Path, progress: Progress | None) -> Path:
    """The whole of `url` as a .part file beside the target, resumed where one is there."""
    _check_url(url)
    part = target.with_name(target.name + ".part")
    have, validator = _resume_point(part, url)
    headers = {"User-Agent": "labkit", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:
            part.unlink()
            return _fetch_part(url, target, progress)
        raise _SourceError(f"HTTP {error.code} {error.reason}") from error
    with response:
        _check_url(response.geturl())
        if response.headers.get_content_type() == "text/html":
            raise _SourceError("answered with a web page instead of the file")
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
            while piece := response.read(CHUNK):
                file.write(piece)
                have += len(piece)
                if progress:
                    progress(have, total)
    if total is not None and have != total:
        raise _SourceError(
            f"the connection ended at {have} of {total} bytes; the next try goes on from there"
        )
    return part
