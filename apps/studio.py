"""The studio: every app of the lab, each in a tab, and a tab for every method and measure that has no app of its own.

    python apps/studio.py [--share --auth USER:PASSWORD] [--help]

Nothing is listed here: an app is a file beside this one that says its TITLE, its PLACE and the specs that it SHOWS; a method
or a measure is whatever labkit has, and its tab is made from its spec.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from labkit import methods
from labkit.views.gradio import handing, measure, workbench
from labkit.views.gradio.app import LOCAL, Limits, blocks, main
from labkit.views.gradio.markup import header
from labkit.views.gradio.page import page_of, words_of


def tabs(lab) -> dict[str, Callable]:
    """Title → panel(lab, limits): the apps in their places, then methods and measures by name, all as far as the lab has models
    for them."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    apps = [app for app in (import_module(f"apps.{name}") for name in names if name != "studio") if hasattr(app, "PLACE")]
    found = {app.TITLE: app.panel for app in sorted(apps, key=lambda app: app.PLACE)
             if not app.SHOWS or any(lab.serves(spec.needs) for spec in app.SHOWS)}
    have = {spec for app in apps for spec in app.SHOWS}
    some = {method: partial(workbench.panel, page_of(method)) for method in map(methods.load, methods.names())}
    measures = (found.load() for found in methods.measures().values())
    some |= {spec: partial(measure.panel, spec) for spec in measures if measure.offered(spec)}
    some = {spec: panel for spec, panel in some.items() if lab.serves(spec.needs)}
    return found | {words_of(spec)[0]: panel for spec, panel in some.items() if spec not in have}


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """All tabs on one page: they share the lab and the queue."""
    with blocks("labkit studio") as demo:
        header(lab, "labkit studio", "Methods of the CLIP era, to play with.")
        with gr.Tabs():
            for name, panel in tabs(lab).items():
                with gr.Tab(name, id=name):
                    panel(lab, limits)
        handing.connect()
    return demo


if __name__ == "__main__":
    main(build)
