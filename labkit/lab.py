"""The lab holds the models: pocket ones by default, full-size ones by name, each loaded once and shared.

    Lab()                                                       # pocket models, offline
    Lab(clip="ViT-B-32/openai", vqgan="imagenet-f16-16384", device="cuda")
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable

import torch
from torch import nn

from labkit.kinds import KINDS, Kind
from labkit.precision import resolved
from labkit.spec import Measure, Method, SpecError


class Lab:
    """`lab.clip` measures, `lab.guide` is the CLIP that paints (the same one unless named otherwise), and so on for every kind
    of `labkit.kinds`. Loading is locked: one lab serves many visitors. Models are frozen and in eval mode.
    """

    def __init__(self, device: str | torch.device | None = None, precision: str = "auto", **names: str | None):
        """Names of models by kind, "pocket" unless given. `precision` of CLIP's image tower: "fp32", "bf16" or "auto", which is
        bf16 where the processor gains by it. Raises `SpecError` on a kind that there is not."""
        if unknown := [kind for kind in names if kind not in KINDS]:
            raise SpecError(f"{unknown[0]}: a lab has no such kind of model; it has {', '.join(KINDS)}")
        given = {kind: name for kind, name in names.items() if name is not None}
        self.names = {kind: given.get(kind) or given.get(record.role_of) or "pocket" for kind, record in KINDS.items()}
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.precision = resolved(precision, self.device)
        self._models: dict[str, object] = {}
        self._lock = threading.RLock()

    def __getattr__(self, kind: str):
        names = self.__dict__.get("names", {})
        if kind not in names:
            raise AttributeError(f"a lab has no {kind!r}; it has {', '.join(names)}")
        return self.model(kind)

    @property
    def bf16(self) -> bool:
        """Whether CLIP's image tower multiplies in bfloat16."""
        return self.precision == "bf16"

    @property
    def arguments(self) -> dict[str, str]:
        """What `Lab(**arguments)` needs to be one like this, in another process: all that decides pixels."""
        return self.names | {"device": str(self.device), "precision": self.precision}

    def model(self, kind: str):
        """The model of a kind, loaded on first use."""
        with self._lock:
            if kind not in self._models:
                record, name = KINDS[kind], self.names[kind]
                same = record.role_of and name == self.names[record.role_of]
                self._models[kind] = self.model(record.role_of) if same else record.loaded(name, self.device, self.bf16)
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

    def lacking(self, kinds: Iterable[str]) -> list[Kind]:
        """Those of these kinds of which there is no model: none was named, and no pocket weights are shipped."""
        return [KINDS[k] for k in kinds if not KINDS[k].pocket and self.names[k] == "pocket"]

    def serves(self, kinds: Iterable[str]) -> bool:
        """Whether there is a model of each of these kinds: one that was named, or pocket weights that are shipped."""
        return not self.lacking(kinds)

    @property
    def pocket(self) -> bool:
        """Whether any picture may come from pocket models where a full-size one could have been named: then what is shown says
        so."""
        return self.draws_with_pocket(kind for kind, record in KINDS.items() if record.help)

    def draws_with_pocket(self, kinds: Iterable[str]) -> bool:
        """Whether one of these kinds draws (it does not only look) and is a pocket model."""
        return any(KINDS[k].draws and self.names[k] == "pocket" for k in kinds)

    def fresh_copy(self, kind: str) -> nn.Module:
        """A trainable copy of a kind's module, full-size or pocket. The lab's own is left as it was."""
        return copy.deepcopy(KINDS[kind].module(self.model(kind))).train().requires_grad_(True)

    def fingerprints(self, kinds: Iterable[str]) -> dict[str, dict]:
        """Name and sha256 of the models of some kinds, for recipes."""
        return {k: {"name": self.names[k], "sha256": getattr(self.model(k), "sha256", None)} for k in kinds}
