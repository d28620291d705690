"""The explorer as one HTML file that needs no network, server or library: linked maps, lasso, gallery, CSV.

    write_page(points_of(result), "map.html")

Pictures lie in the file as sheets of thumbnails, coordinates as float32. Every text of a user stands in a block of JSON, which
no browser runs, and reaches the page as text only; the page's own policy forbids it any request and any script but ours.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from labkit.files import write_atomically
from labkit.views.explorer.points import Points, coloured, scaled, side_of, thumbnail

SHEET = 1024  # pixels of a side of a sheet of thumbnails
QUALITY = 82


def write_page(points: Points, path: str | os.PathLike, title: str = "Latent space") -> Path:
    """Write the page, whole or not at all; returns its path. Raises `FileError`."""
    return write_atomically(path, page(points, title).encode())


def page(points: Points, title: str = "Latent space") -> str:
    """The page as HTML."""
    style, script = asset("page.css"), asset("page.js")
    side = side_of(len(points.names))
    sheets = sheets_of(points.thumbs, side) if points.thumbs else []
    about = {
        "title": title, "note": points.note, "n": len(points.names), "side": side, "columns": SHEET // side,
        "names": list(points.names), "captions": list(points.captions),
        "maps": [{"title": name, "worth": points.worth.get(name, ""), "xy": packed(np.asarray(xy), np.float32)}
                 for name, xy in points.maps.items()],
        "labels": [label(name, values) for name, values in points.labels.items()],
    }  # fmt: skip
    policy = (f"default-src 'none'; img-src data: blob:; style-src 'sha256-{digest(style)}'; "
              f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'")
    blocks = "".join(f'<script type="application/octet-stream" class="sheet">{sheet}</script>\n' for sheet in sheets)
    return (asset("page.html").replace("{{policy}}", html.escape(policy)).replace("{{title}}", html.escape(title))
            .replace("{{style}}", style).replace("{{script}}", script).replace("{{sheets}}", blocks)
            .replace("{{data}}", block(about)))


def block(value: object) -> str:
    """JSON that cannot end the script element it stands in, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode()


def label(name: str, values) -> dict:
    """A column of labels: what each point has, as a number of a name, and the names' colours; of a scale the numbers too."""
    codes, names, colours = coloured(values)
    wide = len(names) >= 2**16
    numbers = [float(v) if np.isfinite(v) else None for v in values] if scaled(values) else None
    return {"name": str(name), "names": names, "colours": colours, "codes": packed(codes, np.uint32 if wide else np.uint16),
            "wide": wide, "values": numbers}


def packed(values: np.ndarray, dtype) -> str:
    """Little-endian numbers in base64."""
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def sheets_of(thumbs, side: int) -> list[str]:
    """Sheets of SHEET × SHEET px with the thumbnails row by row, as WebP in base64; the last is as high as it must be."""
    per, out = (SHEET // side) ** 2, []
    for k in range(0, len(thumbs), per):
        some = thumbs[k:k + per]
        rows = -(-len(some) // (SHEET // side))
        sheet = Image.new("RGB", (SHEET, rows * side), "white")
        for j, picture in enumerate(some):
            sheet.paste(thumbnail(picture, side), (j % (SHEET // side) * side, j // (SHEET // side) * side))
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=QUALITY, method=2)
        out.append(base64.b64encode(buffer.getvalue()).decode())
    return out


def asset(name: str) -> str:
    """A file beside this one."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The sha256 by which the page's policy knows its own script and style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
