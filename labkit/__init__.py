"""labkit: a lab suite for the CLIP era of text-to-image.

    from labkit import Lab, VQGANCLIP, show
    lab = Lab()
    result = show(VQGANCLIP(prompt="a red apple in the snow", steps=150), lab)
    result.save("apple.png")

The names a notebook needs; each is imported when it is first used, so that `import labkit` loads neither torch nor a model.
"""

import os
from importlib import import_module

# Read once, when torch is imported. An OpenMP thread that waits for work shall sleep: as it is, it spins, and beside one other
# busy process two threads took seven times as long as one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

_HOMES = {
    "labkit.lab": "Lab",
    "labkit.spec": "METHODS MEASURES Method Measure NonFiniteError Spec SpecError Step Training",
    "labkit.prompt": "Prompt PromptError parse parse_story",
    "labkit.image": "ImageError ImageInput contact_sheet grid open_upload read_recipe save_png strip",
    "labkit.methods.vqgan_clip": "Canvas Optimiser VQGANCLIP",
    "labkit.methods.clipstyler": "CLIPStyler restyled",
    "labkit.clip.learnt_style": "LearntStyle StyleOutput",
    "labkit.clip.style_losses": "StyleLosses StylePatches",
    "labkit.image.style": "Style",
    "labkit.methods.guided_diffusion": "DiffusionCanvas GuidedDiffusion Guidance Sampler",
    "labkit.methods.enhance": "Enhance",
    "labkit.image.adjust": "Adjustments",
    "labkit.clip.cutouts": "Cutouts",
    "labkit.clip.pull": "ImagePrompt NoisePrompt",
    "labkit.clip.similarity": "SimilarityMatrix",
    "labkit.latents.projection": "Projection",
    "labkit.lyrics": "KeyPhrases",
    "labkit.check": "check_environment format_findings",
    "labkit.runs.result": "Result collect",
    "labkit.views.notebook.explore": "explore",
    "labkit.views.notebook.show": "show",
    "labkit.views.notebook.widgets": "form widgets",
    "labkit.runs.replay": "replay spec_from_png",
    "labkit.runs.sweep": "sweep",
    "labkit.runs.film": "write_video",
    "labkit.zoo": "WeightsError models",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name == "__version__":
        value = import_module("labkit.data").version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'labkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
