"""The explorer with many points in a real Chromium, as a file and within the studio's page: what a frame costs while a map is
moved and zoomed, and what a lasso does; after these, the seconds that t-SNE takes to place so many points.

    python benchmarks/explorer.py [POINTS, 50000 unless given]

A frame is the time between two of the browser's; on a busy machine look at the processor's milliseconds, of all of Chromium's
processes, instead. Needs Chromium and playwright, draws without a GPU, and so is slower than a visitor's browser.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import sync_playwright

from labkit.latents.maps import make_map
from labkit.views.explorer.page import write_page
from labkit.views.explorer.points import SMALL, Points
from labkit.views.gradio import app
from labkit.views.gradio.latents import ExplorerPanel, framed

FLAGS = ["--no-sandbox", "--disable-gpu"]
FRAMES = """async (moves) => { const times = []; let last = await new Promise(requestAnimationFrame);
  for (let k = 0; k < moves; k++) { const m = explorer.maps[0]; m.x += 3 * Math.sin(k / 5); m.k *= 1 + 0.01 * Math.sin(k / 9);
    explorer.draw(m); m.g.getImageData(0, 0, 1, 1); const now = await new Promise(requestAnimationFrame);
    times.push(now - last); last = now; } return times; }"""


def many(n: int, maps: int = 2, seed: int = 0) -> Points:
    """n points in 12 clusters, each with a thumbnail of its own, on `maps` maps."""
    rng = np.random.default_rng(seed)
    of = rng.integers(12, size=n)
    places = {f"map {k + 1}": rng.normal(size=(12, 2))[of] * 20 + rng.normal(size=(n, 2)) * 3 for k in range(maps)}
    tiles = rng.integers(0, 255, (256, 4, 4, 3), dtype=np.uint8)
    thumbs = [Image.fromarray(tile).resize((SMALL, SMALL), Image.Resampling.BICUBIC) for tile in tiles]
    return Points([f"picture {k}.png" for k in range(n)], places, [f"a caption of picture {k}" for k in range(n)],
                  {"cluster": [f"cluster {k}" for k in of]}, [thumbs[k % 256] for k in range(n)])


def busy() -> float:
    """Seconds of the processor that Chromium has used so far."""
    some = [p for p in psutil.Process().children(recursive=True) if "chrom" in p.name()]
    return sum(t.user + t.system for p in some for t in [p.cpu_times()])


def moved(page, what: str) -> None:
    """Move and zoom the first map for 60 frames, and print what one takes."""
    began = busy()
    times = sorted(page.evaluate(FRAMES, 60))
    print(f"{what:22} {statistics.median(times):8.1f} ms a frame (95th percentile {times[56]:.1f} ms), "
          f"{(busy() - began) / 60 * 1000:.1f} ms of the processor")


def lassoed(page) -> None:
    """Select what lies in an ellipse, and print what it takes."""
    took, found = page.evaluate("""() => { const t = performance.now(); const m = explorer.maps[0];
      const w = m.canvas.clientWidth, h = m.canvas.clientHeight;
      const turns = [...Array(120).keys()].map((k) => k / 19);
      const trail = turns.map((a) => [w / 2 + w / 3 * Math.cos(a), h / 2 + h / 3 * Math.sin(a)]);
      explorer.select(explorer.inside(m, trail)); return [performance.now() - t, explorer.chosen().length]; }""")
    print(f"{'lasso':22} {took:8.1f} ms for {found} points, their bars and first pictures; with this selection:")


def measured(frame, opened: float) -> None:
    """Print what it takes to open, move, lasso and move again; `frame` is a page, or a frame within one."""
    frame.wait_for_function("window.explorer && explorer.maps.every((m) => m.drawn)")
    print(f"{'open':22} {time.perf_counter() - opened:8.1f} s")
    moved(frame, "move")
    lassoed(frame)
    moved(frame, "move")


def projected(n: int) -> None:
    """Print the seconds that a t-SNE map of n vectors of CLIP's length takes, on one thread."""
    rng, began = np.random.default_rng(0), time.process_time()
    found = make_map(rng.normal(size=(12, 128))[rng.integers(12, size=n)] * 2 + rng.normal(size=(n, 128)), "tsne")
    print(f"{'project':22} {found.seconds:8.1f} s ({time.process_time() - began:.1f} s of the processor) for {found.name} "
          f"of {n} vectors of length 128, on one thread")


def main(n: int = 50_000) -> None:
    """Print all of it, of the file and of the studio's page."""
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        began = time.process_time()
        path = write_page(many(n), Path(folder) / "map.html")
        print(f"{'write':22} {time.process_time() - began:8.1f} s of the processor, "
              f"{path.stat().st_size / 1e6:.1f} MB, {n} points on 2 maps")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.set_default_timeout(300_000)  # a busy machine
        print("The file:")
        began = time.perf_counter()
        page.goto(path.as_uri())
        measured(page, began)
        page.close()

        with app.blocks("labkit: latents") as demo:
            panel = ExplorerPanel("bench-")
            demo.load(lambda: framed(path.read_text(encoding="utf-8")), None, panel.frame)
        app.launch(demo, prevent_thread_lock=True)
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.set_default_timeout(300_000)
        print("In the studio's page:")
        began = time.perf_counter()
        page.goto(demo.local_url)
        frame = page.wait_for_selector("#bench-explorer iframe").content_frame()
        measured(frame, began)
        browser.close()
        demo.close()
    projected(n)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
