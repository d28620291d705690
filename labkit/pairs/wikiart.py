"""WikiArt: paintings by artist, genre and style, as style pictures. Read one after the other; nothing of it is ever passed on.

    art = WikiArt.of("wikiart/data")             # parquet as the hub has it: image {bytes, path}, artist, genre, style
    art = WikiArt.of("paintings")                # or a folder STYLE/artist_title.jpg
    for painting in art.paintings(style="Impressionism", most=20): painting.picture, painting.artist
    art.skipped                                  # what could not be opened, and why

The style thesis writes of 11,300 pictures; the set that it names, huggan/wikiart on the hub, has 81,444, of 129 artists, 11
genres and 27 styles. Its licence is "unknown", the rights are the artists': `LICENCE` is to be shown wherever its pictures are.
Some files are broken, and one is enough to end a loop of `datasets`: so parquet is read by pyarrow, a few rows at a time, no
script is run, and each picture comes in by `open_upload`, as a stranger's.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from labkit.fetch import Limits, download, read_small
from labkit.image import ImageError, open_upload
from labkit.pairs.pair import PairsError
from labkit.text import plain

LICENCE = ("WikiArt (huggan/wikiart): licence unknown, © original authors. For looking at and learning from on this machine: "
           "do not pass these pictures on, nor what is made of them without asking.")
HUB = "https://huggingface.co"
LISTING, SHARD = "/api/datasets/huggan/wikiart/tree/main/data", "/datasets/huggan/wikiart/resolve/main/data/{}"
SHARDS = re.compile(r"data/([A-Za-z0-9][A-Za-z0-9._-]{0,100}\.parquet)")
SAID, THERE = 11_300, 81_444  # pictures, as the thesis and as the hub has it
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LABELS = ("artist", "genre", "style")
ROWS = 16  # of a parquet file that are in memory at once
MAX_BYTES = 32_000_000  # of a painting's file
MAX_PIXELS = 60_000_000
LARGEST = 2_000_000_000  # bytes of a parquet file
LIST_BYTES = 1_000_000  # of the hub's list of them
MAX_SKIPPED = 1000  # that are listed; beyond it they are counted only


@dataclass(frozen=True)
class Painting:
    """A painting: RGB `picture`, what is known of it ("" where nothing), and `source`, its file and place there."""

    picture: Image.Image = field(repr=False)
    artist: str
    genre: str
    style: str
    title: str
    source: str


@dataclass
class WikiArt:
    """Files of paintings under `root`, in the order of their names. `skipped` fills while `paintings` runs: source → why;
    `broken` counts them."""

    root: Path
    files: list[Path]
    parquet: bool
    skipped: dict[str, str] = field(default_factory=dict)
    broken: int = 0

    @property
    def licence(self) -> str:
        """What is to be shown beside these pictures."""
        return LICENCE

    @classmethod
    def of(cls, root: str | os.PathLike) -> WikiArt:
        """A folder of parquet files, one of them, or a folder STYLE/artist_title.jpg. Links that lead out of it are left out.
        Raises `PairsError` where there is no such place, or nothing of either kind in it."""
        root = Path(root)
        named = plain(root, 200)
        if root.is_file() and root.suffix == ".parquet":
            return cls(root.parent, [root], parquet=True)
        if not root.is_dir():
            raise PairsError(f"{named}: {'is no parquet file' if root.exists() else 'no such folder'}; give the folder of "
                             "WikiArt's parquet files, or one of STYLE/artist_title.jpg")
        here = root.resolve()
        inside = [path for path in sorted(root.rglob("*")) if path.is_file() and path.resolve().is_relative_to(here)
                  and not any(part.startswith(".") for part in path.relative_to(root).parts)]
        if tables := [path for path in inside if path.suffix == ".parquet"]:
            return cls(root, tables, parquet=True)
        pictures = [path for path in inside if path.suffix.lower() in SUFFIXES and len(path.relative_to(root).parts) == 2]
        if not pictures:
            raise PairsError(f"{named}: has no parquet file, and no folder of a style with pictures ({', '.join(SUFFIXES)}) in "
                             "it; put STYLE/artist_title.jpg there")
        return cls(root, pictures, parquet=False)

    def paintings(self, artist: str = "", genre: str = "", style: str = "", most: int | None = None,
                  seed: int | None = None) -> Iterator[Painting]:
        """The paintings, one after the other: of an artist, a genre, a style where they are given ("impressionism", as in the
        set's own names but for case, blanks and hyphens), at most so many. With a `seed` files are taken in a drawn order.
        Of a picture that nobody wants no pixel is decoded. Raises `PairsError` on a name that no painting has."""
        wanted = {label: _plain(name) for label, name in zip(LABELS, (artist, genre, style), strict=True) if name.strip()}
        files, given, seen = list(self.files), 0, {label: Counter() for label in wanted}
        if seed is not None:
            random.Random(seed).shuffle(files)
        for path in files:
            for source, about, data in (self._rows(path, wanted) if self.parquet else self._file(path)):
                for label in wanted:
                    seen[label][about[label]] += 1
                if any(_plain(about[label]) != name for label, name in wanted.items()):
                    continue
                if most is not None and given >= most:
                    return
                try:
                    picture = open_upload(data, MAX_BYTES, MAX_PIXELS)
                except ImageError as error:
                    self._skip(source, str(error).removeprefix(f"{plain(path, 200)}: "))
                    continue
                given += 1
                yield Painting(picture, **about, source=source)
        for label, name in wanted.items():
            if not any(_plain(there) == name for there in seen[label]):
                raise PairsError(f"{label}: no painting in {plain(self.root, 200)} has {plain(name)!r}; there are "
                                 f"{plain(', '.join(sorted(filter(None, seen[label]))) or 'none that are named', 300)}")

    def counts(self, label: str = "style") -> dict[str, int]:
        """How many paintings there are of each artist, genre or style, the most first. Raises `PairsError` on another label."""
        if label not in LABELS:
            raise PairsError(f"label: {plain(repr(label))} is none of {', '.join(LABELS)}")
        found: Counter = Counter()
        for path in self.files:
            for _, about, _ in (self._rows(path, {}, data=False) if self.parquet else self._file(path)):
                found[about[label]] += 1
        return dict(found.most_common())

    def _skip(self, source: str, why: str) -> None:
        self.broken += source not in self.skipped
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped[source] = plain(why, 200)

    def _file(self, path: Path) -> Iterator[tuple[str, dict[str, str], Path]]:
        who, _, title = path.stem.partition("_")
        yield (path.relative_to(self.root).as_posix(),
               {"artist": _said(who), "genre": "", "style": _said(path.parent.name), "title": _said(title)}, path)

    def _rows(self, path: Path, wanted: dict[str, str], data: bool = True) -> Iterator[tuple[str, dict[str, str], bytes]]:
        """A parquet file's rows: source, labels, the picture's bytes. A file that is none is skipped whole, a row of no picture
        likewise."""
        name, k = path.relative_to(self.root).as_posix(), 0
        try:
            with pq.ParquetFile(path) as file:
                columns, names = file.schema_arrow.names, _class_names(file.schema_arrow)
                labels = [label for label in LABELS if label in columns]
                if "image" not in columns:
                    return self._skip(name, f"has no column image; it has {', '.join(columns)}")
                asked = labels + (["image"] if data else [])
                for batch in file.iter_batches(batch_size=ROWS, columns=asked or ["image.path"]):
                    for row in batch.to_pylist():
                        source, k = f"{name}#{k}", k + 1
                        about = {label: _called(row.get(label), names.get(label)) for label in LABELS}
                        image = row.get("image") or {}
                        inner = image.get("path") or ""
                        about["title"] = _title(inner)
                        if data and not image.get("bytes"):  # a path alone is somebody else's file: it is not followed
                            self._skip(source, "holds no bytes of a picture")
                            continue
                        yield source, about, image.get("bytes", b"")
        except (pa.ArrowException, OSError) as error:
            self._skip(name, f"cannot be read as parquet ({plain(error, 120)})")


def fetch_wikiart(folder: str | os.PathLike, shards: int = 1, hub: str = HUB, done: Callable[[int, int], None] | None = None
                  ) -> WikiArt:
    """The first so many of the hub's parquet files (each some hundreds of MB), fetched into `folder`; those that are there are
    not fetched again. `done` is called with (files done, of how many). Raises `DownloadError`, and `PairsError` where the hub's
    list is none."""
    url, limits = f"{hub}{LISTING}", Limits(size=LARGEST, tries=3)
    try:
        listed = json.loads(read_small(url, LIST_BYTES))
        names = sorted(m[1] for entry in listed if (m := SHARDS.fullmatch(str(entry["path"]))))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PairsError(f"{url}: is no list of files; get the parquet files of huggan/wikiart by hand and name their folder") \
            from None
    if not names:
        raise PairsError(f"{url}: lists no parquet file; get those of huggan/wikiart by hand and name their folder")
    chosen = names[:max(1, shards)]
    for k, name in enumerate(chosen):
        download((f"{hub}{SHARD.format(name)}",), Path(folder) / name, limits=limits)
        if done:
            done(k + 1, len(chosen))
    return WikiArt.of(folder)


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of the columns that hold numbers of classes, as `datasets` writes them into a file's schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {str(name): [str(n) for n in kind["names"]] for name, kind in features.items()
            if isinstance(kind, dict) and isinstance(kind.get("names"), list)}


def _called(value: object, names: list[str] | None) -> str:
    """A class by its name; a number where the file does not tell names, "" where there is nothing."""
    if isinstance(value, int) and not isinstance(value, bool) and names is not None:
        return _said(names[value]) if 0 <= value < len(names) else ""
    return "" if value is None else _said(str(value))


def _title(path: str) -> str:
    """What the file of a picture was called, without folders and the artist before the first _."""
    stem = PurePosixPath(PureWindowsPath(path).as_posix()).stem
    return _said(stem.partition("_")[2] or stem)


def _said(name: str) -> str:
    """A name to read: blanks for _ and -, on one line."""
    return plain(name.replace("_", " ").replace("-", " ").strip(), 120)


def _plain(name: str) -> str:
    return _said(name).casefold()
