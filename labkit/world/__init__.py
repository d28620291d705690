"""The picture world: a generator of captioned 64 × 64 scenes with known ground truth.

    scene = sample_scene(7)                 # what is in the picture
    render(scene), render_sketch(scene)     # (64, 64, 3) and (64, 64) uint8
    caption(scene, np.random.default_rng(0))
"""

from labkit.world.captions import Reading, caption, read, unknown_words
from labkit.world.render import render, render_sketch
from labkit.world.scene import PLAIN, Placed, Scene, held_out, sample_scene
from labkit.world.words import classes, words, world_hash

__all__ = ["PLAIN", "Placed", "Reading", "Scene", "caption", "classes", "held_out", "read", "render", "render_sketch",
           "sample_scene", "unknown_words", "words", "world_hash"]
