"""The lab holds the models: pocket ones by default, full-size ones by name, each loaded once and shared.

    Lab()                                                       # pocket models, offline
    Lab(clip="ViT-B-32/openai", vqgan="imagenet-f16-16384", device="cuda")
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import torch

from labkit import zoo
from labkit.data import data_path
from labkit.fetch import sha256_of
from labkit.spec import Measure, Method

PAINTERS = ("clip", "guide", "vqgan", "diffusion")  # what a picture is made by; the others look at it


class Lab:
    """`lab.clip` measures, `lab.guide` is the CLIP that paints (the same one unless named otherwise), `lab.vqgan`,
    `lab.diffusion` and `lab.gan` draw, `lab.judge` and `lab.perceptual` look. Loading is locked: one lab serves many
    visitors. Models are frozen and in eval mode.
    """

    def __init__(self, clip: str = "pocket", vqgan: str = "pocket", guide: str | None = None, diffusion: str = "pocket",
                 device: str | torch.device | None = None, precision: str = "auto"):
        """`precision` of CLIP's image tower: 'fp32', 'bf16' or 'auto', which is bf16 where the processor multiplies in it."""
        if precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision={precision!r}: use 'auto', 'fp32' or 'bf16'")
        self.names = {"clip": clip, "guide": guide or clip, "vqgan": vqgan, "diffusion": diffusion, "gan": "pocket",
                      "judge": "pocket", "perceptual": "pocket"}
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.bf16 = native_bf16(self.device) if precision == "auto" else precision == "bf16"
        self._models: dict[str, object] = {}
        self._lock = threading.RLock()

    def __getattr__(self, kind: str):
        names = self.__dict__.get("names", {})
        if kind not in names:
            raise AttributeError(f"a lab has no {kind!r}; it has {', '.join(names)}")
        return self.model(kind)

    @property
    def arguments(self) -> dict[str, str]:
        """What `Lab(**arguments)` needs to be one like this, in another process."""
        return {k: self.names[k] for k in ("clip", "vqgan", "guide", "diffusion")} | {"device": str(self.device)}

    def model(self, kind: str):
        """The model of a kind, loaded on first use."""
        with self._lock:
            if kind not in self._models:
                same = kind == "guide" and self.names["guide"] == self.names["clip"]
                self._models[kind] = self.model("clip") if same else LOADERS[kind](self, self.names[kind])
            return self._models[kind]

    @property
    def loaded(self) -> tuple[str, ...]:
        """The kinds whose models are at hand: what has been used so far."""
        return tuple(kind for kind in self.names if kind in self._models)

    def require(self, spec: Method | Measure, progress: Callable[[str], None] | None = None) -> None:
        """Load what a spec needs, so that its run meets loaded models only. `progress` gets a line per model."""
        for kind in spec.needs:
            if progress and kind not in self._models:
                progress(f"loading {kind} ({self.names[kind]})")
            self.model(kind)

    @property
    def pocket(self) -> bool:
        """Whether any picture may come from pocket models: then what is shown says so."""
        return self.draws_with_pocket(PAINTERS)

    def draws_with_pocket(self, kinds: tuple[str, ...]) -> bool:
        """Whether one of these kinds draws (it does not only look) and is a pocket model."""
        return any(self.names[k].startswith("pocket") for k in kinds if k in PAINTERS)

    def fresh_copy(self, kind: str):
        """A trainable copy of a pocket model; for 'clip' with its tokenizer's JSON. The lab's own is left as it was."""
        if kind == "clip":
            encoder = self.model("clip")
            return copy.deepcopy(encoder.model), encoder.tokenizer.json
        model = self.model(kind)
        return copy.deepcopy(model.net if kind == "judge" else model)

    def fingerprints(self, kinds: tuple[str, ...]) -> dict[str, dict]:
        """Name and sha256 of the models of some kinds, for recipes."""
        return {k: {"name": self.names[k], "sha256": getattr(self.model(k), "sha256", None)} for k in kinds}


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively. A CPU without it would emulate, slower than fp32; asking the
    processor, not a stopwatch, gives the same answer every time."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(f() for f in ask if f)


def _load_clip(lab: Lab, name: str):
    from labkit.clip.encoder import load_encoder

    return load_encoder(name, lab.device, lab.bf16)


def _load_vqgan(lab: Lab, name: str):
    from labkit.models.vqgan import load_vqgan

    return load_vqgan(name, lab.device)


def _load_diffusion(lab: Lab, name: str):
    from labkit.models.diffusion import load_diffusion

    return load_diffusion(name, lab.device)


def _load_gan(lab: Lab, name: str):
    from labkit.models.gan import load_gan

    return load_gan(name, lab.device)


def _load_classifier(lab: Lab, kind: str):
    from labkit.models.judge import VGGClassifier

    path = data_path("models", f"{kind}.safetensors")
    tensors, about = zoo.load_tensors(path)
    config = about["config"]
    net = zoo.load_state(VGGClassifier(config["stages"], config["classes"]), tensors, path.name)
    net.sha256 = sha256_of(path)
    return net.to(lab.device).eval().requires_grad_(False)


def _load_judge(lab: Lab, name: str):
    from labkit.metrics.judge import Judge

    return Judge(_load_classifier(lab, "judge"))


def _load_perceptual(lab: Lab, name: str):
    return _load_classifier(lab, "perceptual")


LOADERS = {"clip": _load_clip, "guide": _load_clip, "vqgan": _load_vqgan, "diffusion": _load_diffusion, "gan": _load_gan,
           "judge": _load_judge, "perceptual": _load_perceptual}
