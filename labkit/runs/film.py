"""A run as a film: .mp4 (H.264, plays everywhere) or .gif, written while the frames come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from PIL import Image

from labkit.spec import Step

COMFORTABLE = 256  # px: smaller pictures are enlarged, as players blur them


def write_video(
    frames: Iterable[Image.Image | Step], path: str | Path, fps: float = 12, scale: int | None = None
) -> Path:
    """Write pictures, or the pictures of steps, as a film; steps without a picture are passed over.

    path   ends in .mp4 or .gif.  fps  frames a second, above 0 to 120 (a .gif: to 50, in hundredths of a second).
    scale  whole factor of enlargement without smoothing; None: until the shorter side has 256 px.
    An mp4's sides are even: an odd one gets its last line twice. An mp4 is written frame by frame, a gif is held
    in memory. A failure leaves no half-written file. Raises `ValueError` for a bad option, no frames, or
    frames of several sizes.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in WRITERS:
        raise ValueError(f"path: must end in .mp4 or .gif; got {path.name!r}")
    top = 50 if kind == ".gif" else 120
    if not 0 < fps <= top:
        raise ValueError(f"fps: must be above 0 and at most {top} for a {kind}; got {fps!r}")
    if scale is not None and (scale != int(scale) or scale < 1):
        raise ValueError(f"scale: must be a whole number of at least 1, or None; got {scale!r}")
    pictures = _pictures(frames, scale)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"frames: there are none to write to {path}; a run shows its first picture after some steps")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{kind}")
    try:
        WRITERS[kind](first, pictures, part, fps)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _pictures(frames: Iterable, scale: int | None) -> Iterator[Image.Image]:
    size = None
    for number, frame in enumerate(frames):
        image = frame.image if isinstance(frame, Step) else frame
        if image is None:
            continue
        if not isinstance(image, Image.Image):
            raise ValueError(f"frames: number {number} is a {type(image).__name__}, not a PIL image or a Step")
        size = size or image.size
        if image.size != size:
            raise ValueError(f"frames: number {number} is {image.size}, the first was {size}; a film has one size")
        factor = int(scale) if scale else max(1, -(-COMFORTABLE // min(size)))
        image = image.convert("RGB")
        yield image.resize((size[0] * factor, size[1] * factor), Image.Resampling.NEAREST) if factor > 1 else image


def _write_mp4(first: Image.Image, rest: Iterator[Image.Image], path: Path, fps: float) -> None:
    import imageio_ffmpeg

    width, height = first.width + first.width % 2, first.height + first.height % 2
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec="libx264", pix_fmt_in="rgb24", pix_fmt_out="yuv420p", quality=8,
        macro_block_size=2, output_params=["-movflags", "+faststart"], ffmpeg_log_level="error",
    )  # fmt: skip
    writer.send(None)
    try:
        for image in chain([first], rest):
            writer.send(_even(image, width, height).tobytes())
    finally:
        writer.close()


def _even(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture with its last column or row twice where yuv420p asks for it."""
    if image.size == (width, height):
        return image
    wide = Image.new("RGB", (width, height))
    for x in {width - image.width, 0}:
        for y in {height - image.height, 0}:
            wide.paste(image, (x, y))
    wide.paste(image, (0, 0))
    return wide


def _write_gif(first: Image.Image, rest: Iterator[Image.Image], path: Path, fps: float) -> None:
    # a gif counts in hundredths of a second
    first.save(path, save_all=True, append_images=list(rest), duration=10 * round(100 / fps), loop=0)


WRITERS = {".mp4": _write_mp4, ".gif": _write_gif}
