"""CLIPstyler: a small network is trained until a picture looks, to CLIP, as words say or as another picture does.

Kwon & Ye 2022, "CLIPstyler: Image Style Transfer with a Single Text Condition", arXiv:2112.00374. With y = StyleNet(content):

    L = λ_d (1 − cos(ΔI(y), ΔT)) + λ_p mean_i R(1 − cos(ΔI(view_i(y)), ΔT), τ) + λ_c Σ_l MSE(φ_l(y), φ_l(content)) + λ_tv TV(y)

The losses are those of `labkit.clip.style_losses`, directions of `labkit.clip.directions`, views of `labkit.clip.views`.

Several styles. Those that hold in the same place share one StyleNet, and their losses are averaged by weight: for λ_d that is
linear in their directions (Σ w_k (1 − cos(ΔI, ΔT_k)) = 1 − ΔI · Σ w_k ΔT_k where Σ w_k = 1), for λ_p it is not, as a threshold
stands between. Places with masks of their own have StyleNets of their own, each trained on the whole picture; these pictures
are laid over each other by shares of pixels, so a seam is as soft as the masks' edges. What no mask covers stays as it was.

What was learnt is in `extras["learnt"]` of every step, a `LearntStyle` for each place. Strength, contrast and stretch act on
the finished picture: other values of `output` need no other run (`restyled`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from PIL import Image, ImageDraw
from pydantic import Field, model_validator
from torch import Tensor

from labkit.clip.directions import Templates, picture_direction, templates_for, text_direction
from labkit.clip.learnt_style import LearntStyle, StyleOutput, laid_over
from labkit.clip.style_losses import Objective, StyleLosses, StylePatches, total_variation
from labkit.image import ImageInput, to_pil
from labkit.image.style import Style, check_styles, shares
from labkit.loop import Made, NonFiniteError, Rng, Step, loop
from labkit.models.load import fingerprint
from labkit.models.style_net import StyleNet, StyleNetConfig, width_for
from labkit.spec import Method, PreviewEvery, Seed, Spec, SpecError, Steps


class StyleWords(Spec):
    """From what to what the words lead."""

    source: str = Field("a photo", min_length=1, max_length=300, description="What the picture is now, in words")
    templates: Templates = Field("auto", description="auto: mean over open_clip's sentences that the model can read")


class StyleOptimiser(Spec):
    """How StyleNet learns."""

    lr: float = Field(7e-3, gt=0, le=0.1, description="Adam's learning rate; as published 5e-4")
    halve_every: int = Field(120, ge=1, le=100_000, description="Steps after which the rate is halved")
    warm_up: int = Field(20, ge=0, le=10_000, description="Steps over which the rate rises: without, dark styles go flat")
    width: int = Field(0, ge=0, le=64, description="StyleNet's channels, published 16; 0: 8 for small pictures, else 16")
    start: Literal["content", "noise"] = Field("content", description="StyleNet's first picture; as published noise")
    batch: int = Field(4, ge=1, le=64, description="Pictures a step, where there are more than one")

    def share_at(self, step: int) -> float:
        """The share of the rate that a step gets, the first being 0."""
        return 0.5 ** (step // self.halve_every) * min(1.0, (step + 1) / max(1, self.warm_up))


# What the published code does with a picture of 512 × 512: `CLIPStyler(content=…, text=…, **PUBLISHED)`.
PUBLISHED: dict[str, Any] = {
    "steps": 200, "words": StyleWords(source="a Photo"),
    "optimiser": StyleOptimiser(lr=5e-4, halve_every=100, warm_up=0, width=16, start="noise"),
    "patches": StylePatches(number=64, smallest=0.25, largest=0.25, threshold=0.7, perspective=0.5, black=True,
                            against="whole"),
    "losses": StyleLosses(directional=500, patch=9000, content=150, tv=2e-3, tv_kind="sum"),
    "output": StyleOutput(contrast=1.5, stretch=True)}

FEATHER = 1 / 8  # of the shorter side, that a mask's edge reaches: with less the seam is sharper than the place without one
LEAST = 16  # pixels of a side: below, the deepest layers of a VGG have nothing to read
FLAT = 0.05  # of the content's total variation: what is left of a picture that has become one colour
GONE = "the picture has become one colour; give losses.content more weight, or optimiser.lr a lower value or more warm_up"
LONG = 3  # a picture this much longer than wide looks squashed to CLIP, which reads squares


def _something(width: int, height: int) -> Image.Image:
    """Sky, ground and a thing between: to CLIP a grey gradient has no direction to go."""
    picture = Image.new("RGB", (width, height), (120, 190, 240))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, height * 2 // 3, width, height), fill=(90, 170, 80))
    pen.ellipse((width // 3, height // 4, width * 2 // 3, height * 3 // 4), fill=(210, 40, 40))
    return picture


class CLIPStyler(Method):
    """Give a picture a style that words name."""

    needs: ClassVar[tuple[str, ...]] = ("guide", "perceptual")
    score: ClassVar[str | None] = "direction"
    example: ClassVar[dict[str, Any]] = {
        "content": ImageInput.of(_something(24, 16), 24, 16), "text": "a watercolour", "steps": 4,
        "preview_every": 2, "patches": {"number": 2}}

    content: ImageInput = Field(..., description="Picture to give a style to")
    text: str = Field(..., max_length=300, description="The style in words; empty: those of `styles` alone")
    styles: tuple[Style, ...] = Field((), max_length=8, description="More styles: words or pictures, weights, masks")
    also: tuple[ImageInput, ...] = Field((), max_length=256, description="More pictures of this size to learn the style on")
    words: StyleWords = Field(StyleWords(), description="From what to what the words lead")
    steps: Steps = 100
    optimiser: StyleOptimiser = Field(StyleOptimiser(), description="How StyleNet learns")
    patches: StylePatches = Field(StylePatches(), description="How CLIP looks at parts")
    losses: StyleLosses = Field(StyleLosses(), description="What each loss counts")
    output: StyleOutput = Field(StyleOutput(), description="What becomes of StyleNet's picture")
    seed: Seed = 0
    preview_every: PreviewEvery = 10

    @model_validator(mode="after")
    def _says_what_and_fits(self):
        if not self.all_styles:
            raise ValueError('text, styles: name a style, as text="a watercolour"')
        if min(self.content.width, self.content.height) < LEAST:
            raise SpecError(f"content: is {self.content.width} × {self.content.height}; give each side at least {LEAST} pixels")
        check_styles(self.all_styles, self.content.width, self.content.height)
        for k, one in enumerate(self.also):
            if (one.width, one.height) != (self.content.width, self.content.height):
                raise SpecError(f"also.{k}: is {one.width} × {one.height}, content {self.content.width} × "
                                f"{self.content.height}; make it with ImageInput.of(image, width, height)")
        return self

    @property
    def all_styles(self) -> tuple[Style, ...]:
        """Every style that is asked for: the words of `text`, and `styles`."""
        return ((Style(text=self.text),) if self.text.strip() else ()) + self.styles

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        guide, eye, rng = lab.guide, lab.perceptual, Rng(self.seed)
        x = torch.cat([one.tensor() for one in (self.content, *self.also)]).to(guide.device)
        places = places_of(self.all_styles)
        share = share_of(self.all_styles, *x.shape[-2:]).to(x)
        aims = [self.objective(guide, eye, x, [self.all_styles[k] for k in place]) for place in places]
        width, seed = self.optimiser.width or width_for(*x.shape[-2:]), int(torch.randint(2**31, (), generator=rng.torch))
        config = StyleNetConfig(width, self.optimiser.start == "content")
        nets = torch.nn.ModuleList(StyleNet.drawn(config, seed) for _ in places).to(x.device)
        adam = torch.optim.Adam(nets.parameters(), lr=self.optimiser.lr)
        slower = torch.optim.lr_scheduler.LambdaLR(adam, self.optimiser.share_at)
        contents, contents_tv = aims[0].content(x), float(total_variation(x, self.losses.tv_kind))
        notices = [*self.notices(guide), *of_content(x[:1])]
        abouts = [{"styles": [self.all_styles[k].called for k in place], "source": self.words.source, "seed": self.seed,
                   "guide": {"name": guide.name, "sha256": fingerprint(guide.model)}, "steps": self.steps,
                   "size": [self.content.width, self.content.height], "pictures": len(x)} for place in places]

        def step(i: int) -> Made:
            some = torch.arange(len(x)) if len(x) <= self.optimiser.batch else \
                torch.randperm(len(x), generator=rng.torch)[:self.optimiser.batch]
            vectors, features = contents[0][some], [one[some] for one in contents[1]]
            adam.zero_grad()
            scores: dict[str, float] = {}
            for aim, net in zip(aims, nets, strict=True):
                with torch.enable_grad():
                    losses = aim.losses(net(x[some]), x[some], (vectors, features), rng.torch)
                    loss = aim.total(losses)
                    loss.backward()
                for name, value in {"loss": loss, **losses}.items():
                    scores[name] = scores.get(name, 0.0) + float(value.detach()) / len(aims)
            scores["direction"] = 1 - scores.pop("directional")
            if scores["tv"] < FLAT * contents_tv and GONE not in notices:
                notices.append(GONE)
            if not all(torch.isfinite(p.grad).all() for p in nets.parameters()):
                raise NonFiniteError(f"the gradient is no longer a number; lower optimiser.lr (now {self.optimiser.lr})")
            adam.step()
            slower.step()
            return Made(scores, lambda: to_pil(self.output.of(x[:1], styled())), {
                "notices": tuple(notices), "learnt": tuple(map(LearntStyle.of, nets, abouts))})

        @torch.no_grad()
        def styled() -> Tensor:
            return laid_over(x[:1], [net(x[:1]) for net in nets], share)

        parts = {"nets": nets, "adam": adam, "slower": slower, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def objective(self, guide, eye, x: Tensor, styles: list[Style]) -> Objective:
        """What the StyleNet of one place is trained for, on pictures x (B, 3, H, W) in [0, 1]."""
        templates = templates_for(guide, self.words.templates)
        directions = [text_direction(guide, one.text, self.words.source, templates) if one.picture is None else
                      picture_direction(guide, one.picture.tensor().to(x), x) for one in styles]
        weights = x.new_tensor([one.weight for one in styles])
        return Objective(guide, eye, self.patches, self.losses, torch.stack(directions), weights / weights.sum())

    def notices(self, guide) -> tuple[str, ...]:
        """What the guide says of the words; and of words that lead nowhere."""
        texts = [one.text for one in self.all_styles if one.text.strip()]
        lines = [line for text in (*texts, self.words.source) for line in guide.notices(text)]
        same = [text for text in texts if text.strip().lower() == self.words.source.strip().lower()]
        lines += [f"{text!r} is what the picture is said to be already: no direction leads there" for text in same]
        return tuple(dict.fromkeys(lines))


def of_content(x: Tensor) -> list[str]:
    """What to tell of a content (1, 3, H, W) in [0, 1] that CLIPstyler can do little with."""
    lines = []
    if float(x.std(dim=(2, 3)).max()) < 1 / 255:
        lines.append("the content is of one colour all over: StyleNet paints what it finds, and finds nothing to paint on")
    sides = sorted(x.shape[-2:])
    if sides[1] > LONG * sides[0]:
        lines.append(f"the content is {x.shape[-1]} × {x.shape[-2]}: CLIP sees it squashed to a square, its views not")
    return lines


def places_of(styles: tuple[Style, ...]) -> list[tuple[int, ...]]:
    """The styles that hold in the same place, by number: those without a mask, those of equal masks. A weight of 0 is none."""
    found: dict[str, list[int]] = {}
    for k, one in enumerate(styles):
        if one.weight:
            found.setdefault(one.mask.sha256 if one.mask else "", []).append(k)
    return [tuple(place) for place in found.values()]


def share_of(styles: tuple[Style, ...], height: int, width: int) -> Tensor:
    """(places, H, W): what share of every pixel each place's picture has."""
    by_style = shares(styles, height, width, FEATHER)
    return torch.stack([by_style[list(place)].sum(0) for place in places_of(styles)])


def restyled(spec: CLIPStyler, learnt: tuple[LearntStyle, ...], output: StyleOutput) -> Image.Image:
    """What a run of the spec would give with another `output`, of what it has learnt: no other run."""
    x = spec.content.tensor()
    share = share_of(spec.all_styles, *x.shape[-2:])
    return to_pil(output.of(x, laid_over(x, [one.paint(x) for one in learnt], share)))
