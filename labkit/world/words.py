"""The picture world's words: 64 subjects, 10 colours, 10 settings, 9 styles, lights and relations.

Everything is read from `data/world/words.json`; a word means exactly one class. `world_hash` identifies the world that a
model was trained on (its drawings, its words and `VERSION`), so that stale weights are noticed.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from labkit.data import data_path

# Raise when the rendering or the sampling changes in a way that the data files do not show: weights trained on another
# version are then reported as stale.
VERSION = 1


@lru_cache(maxsize=1)
def words() -> dict:
    """The tables of `data/world/words.json`."""
    return json.loads(data_path("world", "words.json").read_text(encoding="utf-8"))


def classes(attribute: str) -> list[str]:
    """Class names of an attribute: 'subject', 'colour', 'setting', 'style', 'light' or 'relation', in a fixed order."""
    key = attribute + "s"
    if key not in words():
        raise ValueError(f"attribute={attribute!r} is none of the world's: "
                         f"{', '.join(sorted(k[:-1] for k in words()))}")
    return list(words()[key])


@lru_cache(maxsize=1)
def variants() -> dict[str, list]:
    """Subject → its SVG files (one or a few drawings each)."""
    root = data_path("world", "subjects")
    found = {s: [p for p in [root / f"{s}.svg", *sorted(root.glob(f"{s}_[0-9].svg"))] if p.is_file()]
             for s in classes("subject")}
    missing = [s for s, files in found.items() if not files]
    if missing:
        raise FileNotFoundError(f"no drawing of {', '.join(missing)} in {root}")
    return found


@lru_cache(maxsize=1)
def world_hash() -> str:
    """16 hex digits over every drawing, the words and `VERSION`."""
    root = data_path("world")
    h = hashlib.sha256(f"v{VERSION}".encode())
    for path in sorted([*root.glob("*.json"), *root.glob("*/*.svg")]):
        h.update(path.relative_to(root).as_posix().encode())
        h.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return h.hexdigest()[:16]
