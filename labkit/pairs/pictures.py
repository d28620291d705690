"""The pictures of pairs: fetched once, looked at once, and a report of the dead and the broken.

    found = fetch_pictures(read_musti("musti.json", ["en"]), "out/musti")
    found.pairs                      # those whose picture is at hand, with its path
    found.report                     # a row per picture that is not: its address, its pairs, dead or broken, why

Museums move their pictures: of an old list some links are dead, some give a web page, some half a file. A picture is `dead`
where it could not be fetched, `broken` where what came cannot be opened as one (it is then kept, and not asked for again).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from labkit.fetch import DownloadError, Limits, download
from labkit.files import writable, write_atomically
from labkit.image import ImageError, open_upload
from labkit.pairs.pair import Pair, PairsError
from labkit.text import plain

LIMITS = Limits(size=32_000_000, silence=15.0, seconds=90.0, tries=3)
MAX_PIXELS = 120_000_000  # a museum's scan
AT_ONCE = 8
LEDGER = "pictures.json"  # of a cache: address → state and reason
OPENED, DEAD, BROKEN = "opened", "dead", "broken"


@dataclass(frozen=True)
class Fetched:
    """`pairs` whose picture is at hand and can be opened; `report` has a row per other picture: `image`, `pairs` (how many have
    it), `state` ("dead" or "broken"), `reason`, `ids`."""

    pairs: list[Pair]
    report: pd.DataFrame


def fetch_pictures(pairs: Sequence[Pair], folder: str | os.PathLike, limits: Limits = LIMITS, again: bool = False,
                   at_once: int = AT_ONCE, done: Callable[[int, int], None] | None = None) -> Fetched:
    """Have every picture at hand: from its file, from the cache `folder`, or from its address (https; http is asked for as
    https, other than from this machine itself).

    A picture that was found before is not asked for again, nor one whose server said for certain that there is none (404), nor
    a broken one; those that failed by chance (no answer, too slow, 503) are. `again` asks for all that were not found. `done`
    is called with (pictures done, pictures in all). Raises `PairsError` where there is no pair, or no picture at all;
    `NotWritable`.
    """
    if not pairs:
        raise PairsError("pairs: there is none; give a list with at least one")
    folder = Path(folder)
    writable(folder / LEDGER)
    ledger = _ledger(folder)
    files = {_key(pair): pair.path for pair in pairs}
    todo = [key for key in files if _unknown(ledger.get(key), again)]
    ended = len(files) - len(todo)
    pool = ThreadPoolExecutor(at_once)
    try:
        waiting = {pool.submit(_looked_at, key, files[key], folder, limits): key for key in todo}
        for future in as_completed(waiting):
            ledger[waiting[future]] = future.result()
            ended += 1
            if done:
                done(ended, len(files))
    finally:  # of an interrupt, too: what was found is known next time
        pool.shutdown(cancel_futures=True)
        write_atomically(folder / LEDGER, (json.dumps(ledger, indent=1, ensure_ascii=False) + "\n").encode())
    good = [pair.at(Path(line["file"])) for pair in pairs if (line := ledger[_key(pair)])["state"] == OPENED]
    report = _report(pairs, ledger)
    if not good:
        raise PairsError(f"pictures: none of the {len(files)} is at hand: {report['state'].iloc[0]}: "
                         f"{plain(report['image'].iloc[0], 120)}: {plain(report['reason'].iloc[0], 160)}; "
                         "put the pictures beside their list, or go online")
    return Fetched(good, report)


def _key(pair: Pair) -> str:
    """A picture's name in the ledger: its address, or its file as it is now."""
    if "://" in pair.image or pair.path is None:
        return pair.image
    about = pair.path.stat()
    return f"{pair.path.resolve()} {about.st_size} {about.st_mtime_ns}"


def _unknown(line: dict | None, again: bool) -> bool:
    """Whether a picture is to be looked for."""
    if line is None or again and line["state"] != OPENED or not line["final"]:
        return True
    return bool(line["file"]) and not Path(line["file"]).is_file()


def _looked_at(image: str, file: Path | None, folder: Path, limits: Limits) -> dict:
    """A picture's line of the ledger, after it was fetched and opened."""
    if "://" in image:
        file = _cached(image, folder)
        try:
            download((_secure(image),), file, limits=limits, quiet=True)
        except DownloadError as error:
            return _line(DEAD, error.tried[-1][1], final=error.final)
        except OSError as error:  # of this disk
            return _line(DEAD, str(error), final=False)
    elif file is None:
        return _line(DEAD, "no such file beside the list", final=False)
    try:
        open_upload(file, limits.size or LIMITS.size, MAX_PIXELS)
    except ImageError as error:
        return _line(BROKEN, str(error).removeprefix(f"{plain(file, 200)}: "), final=True, file=file)
    return _line(OPENED, "", final=True, file=file)


def _line(state: str, reason: str, final: bool, file: Path | None = None) -> dict:
    return {"state": state, "reason": reason, "final": final, "file": str(file.resolve()) if file else ""}


def _cached(url: str, folder: Path) -> Path:
    """Where a picture lies: addresses are too long for names, and would be names that others choose."""
    digest = hashlib.sha256(url.encode()).hexdigest()
    return folder / digest[:2] / digest[2:34]


def _secure(url: str) -> str:
    scheme, _, rest = url.partition("://")
    loopback = rest.startswith(("127.0.0.1", "localhost", "[::1]"))
    return f"https://{rest}" if scheme.lower() == "http" and not loopback else url


def _ledger(folder: Path) -> dict[str, dict]:
    """What is known of pictures by now; nothing of it where the file is not one of ours."""
    try:
        found = json.loads((folder / LEDGER).read_bytes())
    except (OSError, ValueError):
        return {}
    keys = {"state", "reason", "final", "file"}
    return {image: line for image, line in found.items() if isinstance(line, dict) and keys <= set(line)}


def _report(pairs: Sequence[Pair], ledger: dict[str, dict]) -> pd.DataFrame:
    ids: dict[tuple[str, str], list[str]] = {}
    for pair in pairs:
        if ledger[_key(pair)]["state"] != OPENED:
            ids.setdefault((pair.image, _key(pair)), []).append(pair.id)
    rows = [{"image": image, "pairs": len(mine), "state": ledger[key]["state"], "reason": ledger[key]["reason"],
             "ids": " ".join(mine)} for (image, key), mine in ids.items()]
    return pd.DataFrame(rows, columns=["image", "pairs", "state", "reason", "ids"])
