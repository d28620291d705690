"""A run as a film: .mp4 (H.264, plays everywhere) or .gif, written while the frames come."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from PIL import Image

from labkit.files import CAUSES, FileError, writable, written
from labkit.image import to_rgb
from labkit.spec import Step
from labkit.text import plain

COMFORTABLE = 256  # px: smaller pictures are enlarged, as players blur them


def write_video(
    frames: Iterable[Image.Image | Step], path: str | Path, fps: float = 12, scale: int | None = None
) -> Path:
    """Write pictures, or the pictures of steps, as a film; steps without a picture are passed over.

    path   ends in .mp4 or .gif.  fps  frames a second, above 0 to 120 (a .gif: to 50, in hundredths of a second).
    scale  whole factor of enlargement without smoothing; None: until the shorter side has 256 px.
    An mp4's sides are even: an odd one gets its last line twice. An mp4 is written frame by frame, a gif is held
    in memory. What was written is played once before it is called a film, and a failure leaves none. Raises `ValueError`
    for a bad option, no frames, or frames of several sizes, and `FileError` where it cannot be written.
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
    writable(path)
    pictures = _pictures(frames, scale)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"frames: there are none to write to {path}; a run shows its first picture after some steps")
    try:
        with written(path) as part:
            WRITERS[kind](first, pictures, part, fps)
    except _NoFilm as error:
        raise FileError(f"{plain(path, 200)}: {error}; try again, or write a .gif") from None
    return path


class _NoFilm(Exception):
    """What was written does not play, or could not be written."""


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
        image = to_rgb(image)
        yield image.resize((size[0] * factor, size[1] * factor), Image.Resampling.NEAREST) if factor > 1 else image


def _write_mp4(first: Image.Image, rest: Iterator[Image.Image], path: Path, fps: float) -> None:
    import imageio_ffmpeg

    try:
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise _NoFilm("no ffmpeg is at hand; set IMAGEIO_FFMPEG_EXE") from None
    width, height = first.width + first.width % 2, first.height + first.height % 2
    pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}", "-i", "-"]
    coded = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "10", "-movflags", "+faststart", "-f", "mp4"]
    command = [ffmpeg, "-v", "error", "-y", *pixels, *coded, str(path)]
    count = 0
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        try:
            for image in chain([first], rest):
                child.stdin.write(_even(image, width, height).tobytes())
                count += 1
        except BrokenPipeError:  # the child has ended; why, is asked below
            pass
        except BaseException:
            child.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
            code = child.wait()
        said.seek(0)
        words = said.read(10_000).decode(errors="replace")
    if code:
        _refuse(code, words)
    try:
        frames, _ = imageio_ffmpeg.count_frames_and_secs(path)
    except RuntimeError:
        frames = 0
    if frames != count:
        raise _NoFilm(f"{frames} of {count} frames of the film can be played")


def _refuse(code: int, words: str) -> None:
    """Raise what made ffmpeg end: an error of the file system, where it is one."""
    if code == -getattr(signal, "SIGXFSZ", 0):
        raise OSError(errno.EFBIG, words)
    for number in CAUSES:
        if os.strerror(number) in words:
            raise OSError(number, words)
    reason = plain(words.strip().splitlines()[-1], 200) if words.strip() else f"code {code}"
    raise _NoFilm(f"ffmpeg could not write the film ({reason})")


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
    with Image.open(path) as film:  # equal neighbours are one frame in it
        film.seek(film.n_frames - 1)
        film.load()


WRITERS = {".mp4": _write_mp4, ".gif": _write_gif}
