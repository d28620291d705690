"""PIL ⇄ tensor, and opening pictures from anywhere.

A picture is RGB. What is transparent lies on white; a camera's rotation (EXIF) is applied first.
PSNR = 10·log10(255² / MSE), in dB over all channels.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zlib

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
# What Pillow's decoders raise on damaged files, besides its own UnidentifiedImageError (an OSError).
DAMAGE = (OSError, SyntaxError, EOFError, ValueError, IndexError, KeyError, MemoryError, struct.error,
          zlib.error, Image.DecompressionBombError)


class ImageError(ValueError):
    """A picture or a picture's file that cannot be used; the message says what to give instead."""


def to_tensor(image: Image.Image | np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] of a picture, or of an (H, W[, 1|3|4]) array: uint8 or [0, 1]."""
    values = _pil_values(image) if isinstance(image, Image.Image) else _array_values(image)
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def to_pil(x: torch.Tensor) -> Image.Image:
    """The RGB picture of a (1, 3, H, W) or (3, H, W) tensor, clamped to [0, 1]. `ImageError` on NaN."""
    x = x.detach()
    x = x[0] if x.ndim == 4 and x.shape[0] == 1 else x
    if x.ndim != 3 or x.shape[0] != 3:
        raise ImageError(f"a tensor of shape {tuple(x.shape)} is no picture; give (1, 3, H, W) or (3, H, W)")
    if not torch.isfinite(x).all():
        raise ImageError("the tensor holds NaN or infinity, which no picture shows; see where they come from")
    pixels = (x.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().cpu().numpy())


def to_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    """The picture upright, opaque on white and in RGB; a new one."""
    if isinstance(image, Image.Image) and image.mode == "RGB" and not image.has_transparency_data:
        return ImageOps.exif_transpose(image)
    return to_pil(to_tensor(image))


def _pil_values(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ImageError("a PIL picture of mode F has no fixed range; give an array of floats in [0, 1]")
    if image.mode.startswith("I"):  # 16-bit grey, which convert("RGB") would clip at 255
        return _array_values(np.asarray(image).astype(np.float32) / 65535)
    return _array_values(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))


def _array_values(array: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1], composited over white."""
    array = np.asarray(array)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ImageError(f"an array of shape {array.shape} is no picture; give (H, W), (H, W, 3 or 4)")
    if array.dtype == np.uint8:
        values = array.astype(np.float32) / 255
    elif np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float32)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ImageError(f"floats must lie in [0, 1]; got {values.min():g} … {values.max():g}")
    else:
        raise ImageError(f"an array of {array.dtype} is no picture; give uint8, or floats in [0, 1]")
    if values.shape[2] == 4:
        values = values[..., :3] * values[..., 3:] + (1 - values[..., 3:])
    return np.array(np.broadcast_to(values, (*values.shape[:2], 3)), order="C")


def open_upload(path_or_bytes: str | os.PathLike | bytes, max_bytes: int = 10_000_000,
                max_pixels: int = 16_000_000) -> Image.Image:
    """The RGB picture of a PNG, JPEG, WebP or GIF (its first frame) from anywhere. Raises `ImageError`.

    Size in bytes is looked at before reading, size in pixels before decoding.
    """
    data = read_bytes(path_or_bytes, max_bytes)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
            image.seek(0)
            image.load()
            return to_rgb(image)
    except Image.DecompressionBombError as error:
        raise ImageError(f"the picture is too large: {error}; give one of at most {max_pixels:,}") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"this is no picture that can be opened here; give {', '.join(FORMATS)}") from None
    except DAMAGE as error:
        raise ImageError(f"the picture is damaged or cut short ({error}); get it again") from None


def read_bytes(source: str | os.PathLike | bytes, most: int) -> bytes:
    """The bytes of a file, of which there are at most `most`. Raises `ImageError`."""
    if not isinstance(source, bytes):
        try:
            with open(source, "rb") as file:
                source = file.read(most + 1)
        except (OSError, ValueError) as error:
            raise ImageError(f"{os.fspath(source)!r} cannot be read ({error}); give a picture") from None
    if len(source) > most:
        raise ImageError(f"the file is larger than {most / 1e6:g} MB; give a smaller one")
    return source


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, in dB; inf if they are equal."""
    if a.size != b.size:
        raise ImageError(f"pictures of {a.size} and {b.size} cannot be compared; bring them to one size")
    error = np.square(np.asarray(to_rgb(a), np.float64) - np.asarray(to_rgb(b), np.float64)).mean()
    return 10 * math.log10(255**2 / error) if error else math.inf


def png_bytes(image: Image.Image, chunks: PngImagePlugin.PngInfo | None = None) -> bytes:
    """The picture as the bytes of a PNG, with text chunks."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()
