import re
import resource
import subprocess
import weakref

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from labkit.files import FileError, NotWritable
from labkit.runs.film import write_video
from tests.views.support import FakeLab, Noise


def colours(n=8, size=(64, 64)):
    return [Image.new("RGB", size, (30 * k, 80, 200 - 20 * k)) for k in range(n)]


def read_mp4(path):
    """What ffmpeg says of a film, and its frames."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    run = subprocess.run(command, capture_output=True, check=True)
    told = next(line for line in run.stderr.decode().splitlines() if "Video: h264" in line)
    width, height = (int(side) for side in re.search(r", (\d+)x(\d+)", told).groups())
    return told, np.frombuffer(run.stdout, np.uint8).reshape(-1, height, width, 3)


def test_mp4_plays_what_was_written(tmp_path):
    told, frames = read_mp4(write_video(colours(), tmp_path / "new" / "a.mp4", fps=10))
    assert frames.shape == (8, 256, 256, 3) and "yuv420p" in told and " 10 fps" in told
    for frame, image in zip(frames, colours(), strict=True):
        assert np.abs(frame.mean((0, 1)) - image.getpixel((0, 0))).max() < 8


def test_odd_sides_get_their_last_line_twice(tmp_path):
    image = Image.new("RGB", (33, 21), "white")
    _, frames = read_mp4(write_video([image] * 3, tmp_path / "a.mp4", scale=1))
    assert frames.shape == (3, 22, 34, 3) and frames.min() > 240


def test_gif_of_steps(tmp_path):
    path = write_video(Noise(steps=6, preview_every=2).run(FakeLab()), tmp_path / "a.gif", fps=5, scale=3)
    expected = [step.image for step in Noise(steps=6, preview_every=2).run(FakeLab()) if step.image]
    with Image.open(path) as film:
        assert film.n_frames == 3 and film.size == (24, 24) and film.info["duration"] == 200
        for k, image in enumerate(expected):
            film.seek(k)
            found = np.asarray(film.convert("RGB").resize((8, 8), Image.Resampling.NEAREST), int)
            assert np.abs(found - np.asarray(image)).max() <= 8


def test_an_mp4_holds_few_frames_at_a_time(tmp_path):
    given, most = [], 0

    def frames():
        nonlocal most
        for image in (Image.new("RGB", (64, 64), (k, 0, 0)) for k in range(60)):
            given.append(weakref.ref(image))
            most = max(most, sum(one() is not None for one in given))
            yield image

    write_video(frames(), tmp_path / "a.mp4")
    assert most <= 4


@pytest.mark.parametrize(("frames", "name", "options", "words"), [
    (colours(2), "a.avi", {}, r"path: must end in \.mp4 or \.gif; got 'a\.avi'"),
    (colours(2), "a.mp4", {"fps": 0}, "fps: must be above 0 and at most 120"),
    (colours(2), "a.gif", {"fps": 60}, "fps: .*at most 50"),
    (colours(2), "a.mp4", {"scale": 0.5}, "scale: must be a whole number"),
    ([], "a.mp4", {}, "frames: there are none"),
    ([*colours(2), Image.new("RGB", (8, 8))], "a.mp4", {}, r"number 2 is \(8, 8\), the first was \(64, 64\)"),
    ([*colours(2), "b.png"], "a.gif", {}, "number 2 is a str"),
])  # fmt: skip
def test_mistakes_are_named_and_leave_nothing(tmp_path, frames, name, options, words):
    with pytest.raises(ValueError, match=words):
        write_video(frames, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def limited():
    """No file may become larger than 16 kB, in child processes too: as on a disk that fills."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_that_does_not_fit_is_none(tmp_path, limited, kind):
    noise = np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
    with pytest.raises(FileError, match=rf"a\.{kind}: files may not become that large here"):
        write_video(map(Image.fromarray, noise), tmp_path / "new" / f"a.{kind}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("script", "words"), [
    ("exec 0<&-; echo 'av_write_frame(): No space left on device' >&2; exit 1", "a.mp4: the disk is full; make room"),
    ("cat >/dev/null; echo 'no encoder' >&2; exit 1", r"a.mp4: ffmpeg could not write the film \(no encoder\); try again"),
    ("kill -9 $$", r"a.mp4: ffmpeg could not write the film \(code -9\)"),
    ("cat >/dev/null; exit 0", "a.mp4: .*"),
    ('cat >/dev/null; for last; do :; done; echo "no film" >"$last"', "a.mp4: 0 of 8 frames of the film can be played"),
])  # fmt: skip
def test_a_child_that_fails_makes_no_film(tmp_path, monkeypatch, script, words):
    child = tmp_path / "ffmpeg"
    child.write_text(f"#!/bin/sh\n{script}\n")
    child.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(child))
    monkeypatch.chdir(tmp_path)  # a last argument of "-" is a file to this child
    with pytest.raises(FileError, match=words):
        write_video(colours(), tmp_path / "out" / "a.mp4")
    assert not (tmp_path / "out").exists()


def test_frames_that_are_missing_are_missed(tmp_path, monkeypatch):
    """A film of eight frames of which only some were written."""
    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda path: (5, 0.4))
    with pytest.raises(FileError, match="5 of 8 frames"):
        write_video(colours(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_old_film_stays_where_the_new_one_fails(tmp_path, limited):
    path = write_video(colours(), tmp_path / "a.mp4")
    before, noise = path.read_bytes(), np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
    with pytest.raises(FileError):
        write_video(map(Image.fromarray, noise), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_the_place_is_looked_at_before_the_first_frame(tmp_path):
    def frames():
        raise AssertionError("the work has begun")
        yield

    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.mp4", tmp_path / f"{'x' * 300}.gif"):
        with pytest.raises(NotWritable):
            write_video(frames(), path)


def test_frames_that_end_in_an_error_leave_nothing(tmp_path):
    def frames():
        yield from colours(3)
        raise KeyboardInterrupt

    for name in ("a.mp4", "a.gif"):
        with pytest.raises(KeyboardInterrupt):
            write_video(frames(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
