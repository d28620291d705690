"""Codes: a sentence becomes codes, one after another, and these a picture; any code can be forced.

    python apps/codes.py [--share --auth USER:PASSWORD] [--help]

Every control, bound and default is the spec's; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from labkit.methods.prior_sampling import PriorSampling
from labkit.views.gradio import app, workbench
from labkit.views.gradio.codes import CodesPanel
from labkit.views.gradio.page import Page, labels_of, page_of

MADE = page_of(PriorSampling)
PAGE = Page(
    method=PriorSampling, title="Codes", words="A sentence becomes codes, coarse ones and then fine ones, and these a picture.",
    verb="Draw", api="codes", ask="Join with |, weigh with :0.5, repel with :-1",
    examples=("a red apple in the snow", "a yellow ship on the sea at sunset", "a blue house in a meadow",
              "a purple butterfly in a meadow"),
    main=(("steps", "preview_every"), ("top__guidance", "bottom__guidance"), ("top__temperature", "bottom__temperature")),
    start=MADE.start,
    labels=labels_of(PriorSampling) | {
        "preview_every": "Steps between pictures", "top__guidance": "Guidance, top", "bottom__guidance": "Guidance, bottom",
        "top__temperature": "Temperature, top", "bottom__temperature": "Temperature, bottom",
        "inpaint__picture": "A picture to paint anew in part", "top__top_k": "Top k, top", "bottom__top_k": "Top k, bottom",
        "top__top_p": "Top p, top", "bottom__top_p": "Top p, bottom"},
    prefix="codes-", extra=CodesPanel,
)  # fmt: skip
TITLE, PLACE, SHOWS = PAGE.title, 5, (PAGE.method,)
panel = partial(workbench.panel, PAGE)
build = partial(workbench.build, PAGE)

if __name__ == "__main__":
    app.main(build)
