import re
import subprocess
import weakref

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

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
