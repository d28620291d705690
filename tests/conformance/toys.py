"""A method without a prompt, with a picture field, and a measure, each in one module, as a newcomer would add them.

`installed(folder)` writes the modules where labkit looks for methods and measures; nothing else is told of them.
"""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.spec import MEASURES, METHODS

METHOD = '''
    """Posterise: a picture in fewer and fewer shades."""

    from PIL import Image, ImageOps
    from pydantic import Field

    from labkit.image import ImageInput
    from labkit.loop import Made, loop
    from labkit.spec import Method, Spec, Steps


    class Shades(Spec):
        """How many shades are left."""

        most: int = Field(6, ge=2, le=8, description="Bits to begin with")
        words: tuple[str, ...] = Field(("light", "dark"), description="What the shades are called")


    class ToyPosterise(Method):
        """Draw a picture in fewer and fewer shades."""

        example = {"sketch": ImageInput.of(Image.linear_gradient("L").convert("RGB"), 32, 24), "steps": 5}

        sketch: ImageInput = Field(..., description="The picture to draw again")
        shades: Shades = Field(Shades(), description="Shades")
        steps: Steps = 5
        speckle: float = Field(0.0, ge=0, le=1, description="Share of noise")

        def run(self, lab, resume=None):
            def step(i):
                bits = max(1, self.shades.most - i)
                return Made({"bits": float(bits) / 3}, lambda: ImageOps.posterize(self.sketch.pil(), bits),
                            {"notices": tuple(f"called {word}" for word in self.shades.words)})

            yield from loop(self.steps, {}, step, 100, resume)
'''
MEASURE = '''
    """How light pictures are."""

    from dataclasses import dataclass

    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from PIL import Image
    from pydantic import Field

    from labkit.spec import Measure


    @dataclass
    class Lightness:
        table: pd.DataFrame
        notices: tuple = ("grey is in between",)

        def figure(self):
            figure = Figure(figsize=(3, 2))
            figure.subplots().bar(range(len(self.table)), self.table["light"])
            return figure


    class ToyLightness(Measure):
        """How light each picture is."""

        example = {"names": ("red", "blue", "white")}

        names: tuple[str, ...] = Field(..., min_length=1, max_length=5, description="A name for each picture")
        gain: float = Field(1.0, gt=0, le=3, description="What lightness is multiplied by")

        def compute(self, lab, pictures: list[Image.Image], floor: float = 0.0):
            if len(pictures) != len(self.names):
                raise ValueError(f"pictures: there are {len(pictures)} for {len(self.names)} names; give one for each")
            light = [np.float32(self.gain * np.asarray(p.convert("L")).mean() / 255 + 0.376) for p in pictures]
            return Lightness(pd.DataFrame({"light": light}, index=list(self.names)))
'''
MODULES = {"labkit.methods": ("toy_posterise", METHOD), "labkit.metrics": ("toy_lightness", MEASURE)}


@contextmanager
def installed(folder: Path) -> Iterator[tuple[type, type]]:
    """(method, measure), in modules of `labkit.methods` and `labkit.metrics` for as long as this lasts."""
    made = []
    for package, (name, text) in MODULES.items():
        home = folder / package
        home.mkdir(parents=True)
        (home / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        importlib.import_module(package).__path__.append(str(home))
        made.append((package, name, str(home)))
    try:
        method, measure = (importlib.import_module(f"{package}.{name}") for package, name, _ in made)
        yield method.ToyPosterise, measure.ToyLightness
    finally:
        for package, name, home in made:
            sys.modules[package].__path__.remove(home)
            sys.modules.pop(f"{package}.{name}", None)
            vars(sys.modules[package]).pop(name, None)
        METHODS.pop("ToyPosterise", None), MEASURES.pop("ToyLightness", None)
