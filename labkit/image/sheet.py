"""Pictures beside each other: a grid, the strip of a run, a contact sheet with labels."""

from __future__ import annotations

import math
import re

from PIL import Image, ImageDraw, ImageFont, ImageOps

from labkit.image.convert import ImageError, to_rgb


def grid(images: list[Image.Image], columns: int, pad: int = 4, background: str = "white") -> Image.Image:
    """The pictures row by row in equal cells, centred, `pad` pixels between and around them."""
    if not images or columns < 1 or pad < 0:
        raise ImageError(f"a grid needs pictures, columns ≥ 1, pad ≥ 0; got {len(images)}, {columns}, {pad}")
    width, height = max(i.width for i in images), max(i.height for i in images)
    columns, rows = min(columns, len(images)), math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (width + pad) + pad, rows * (height + pad) + pad), background)
    for k, image in enumerate(images):
        x, y = pad + k % columns * (width + pad), pad + k // columns * (height + pad)
        sheet.paste(to_rgb(image), (x + (width - image.width) // 2, y + (height - image.height) // 2))
    return sheet


def strip(images: list[Image.Image], pad: int = 2) -> Image.Image:
    """The pictures side by side: how a run went."""
    return grid(images, max(1, len(images)), pad)


def contact_sheet(images: list[Image.Image], labels: list[str], columns: int, tile: int = 160,
                  title: str | None = None) -> Image.Image:
    """Pictures with wrapped labels under them. Small ones are enlarged by whole factors, pixel by pixel."""
    if len(labels) != len(images):
        raise ImageError(f"labels: {len(images)} pictures need as many labels; got {len(labels)}")
    font, line = ImageFont.load_default(12), 16
    wrapped = [_wrap(str(label), font, tile) for label in labels]
    deepest = max(map(len, wrapped), default=0)
    cells = []
    for image, lines in zip(images, wrapped, strict=True):
        cell = Image.new("RGB", (tile, tile + 4 + line * deepest), "white")
        fitted = _fitted(to_rgb(image), tile)
        cell.paste(fitted, ((tile - fitted.width) // 2, (tile - fitted.height) // 2))
        for n, text in enumerate(lines):
            ImageDraw.Draw(cell).text((tile / 2, tile + 4 + line * n), text, "black", font, anchor="ma")
        cells.append(cell)
    sheet = grid(cells, columns, 8)
    if title:
        large = ImageFont.load_default(16)
        lines = _wrap(title, large, sheet.width - 16)
        sheet = ImageOps.expand(sheet, (0, 22 * len(lines) + 8, 0, 0), "white")
        ImageDraw.Draw(sheet).multiline_text((8, 8), "\n".join(lines), "black", large)
    return sheet


def _fitted(image: Image.Image, tile: int) -> Image.Image:
    longest = max(image.size)
    if longest <= tile:
        factor = tile // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return ImageOps.contain(image, (tile, tile), Image.Resampling.LANCZOS)


def _wrap(text: str, font, width: float) -> list[str]:
    """Lines of at most `width` pixels, broken at spaces, or inside a word that is too long."""
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in re.findall(r"\S+\s*", paragraph):
            if line and font.getlength(line + word.rstrip()) > width:
                lines, line = [*lines, line.rstrip()], ""
            for letter in word:
                if line and letter.strip() and font.getlength(line + letter) > width:
                    lines, line = [*lines, line.rstrip()], ""
                line += letter
        lines.append(line.rstrip())
    return lines
