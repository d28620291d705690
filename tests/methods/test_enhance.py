"""The enhancer: its tree, its guards, undoing, settling, sizes, and what it refuses."""

import json

import pytest
import torch
from PIL import Image

from labkit.image import ImageInput, to_pil, to_tensor
from labkit.image.adjust import Adjustments, adjusted
from labkit.image.degrade import Degradation, degraded
from labkit.methods.enhance import SMALLEST, Enhance, Looks, apply, chosen, path_to, proxy_of
from labkit.models.aesthetic import AestheticConfig, AestheticHead
from labkit.runs.result import collect
from labkit.spec import SpecError
from labkit.world import render, sample_scene
from tests.conformance import TinyLab, pocket_lab


def dull(number: int = 3) -> Image.Image:
    """A scene that was made dark and pale."""
    x = to_tensor(Image.fromarray(render(sample_scene(number, "test", two=False))))
    return to_pil(degraded(x, [[Degradation("brightness", 0.8), Degradation("saturation", 0.7)]], torch.zeros_like(x)))


def spec_of(picture: Image.Image, **changes) -> Enhance:
    return Enhance(**{"picture": ImageInput.of(picture, *picture.size), "steps": 4, "least": 0.0, "drift": 0.01, **changes})


@pytest.fixture(scope="module")
def steps(tiny):
    return list(spec_of(dull(), black_white=True, crop=True).run(tiny))


def test_the_tree_is_plain_data_that_grows_and_never_forgets(steps):
    trees = [step.extras["tree"] for step in steps]
    assert json.loads(json.dumps(trees[-1])) == trees[-1]
    for before, after in zip(trees, trees[1:], strict=False):
        assert after[:len(before)] == before
    assert trees[0][0]["parent"] is None and trees[0][0]["recipe"] == {} and len(trees[-1]) > len(trees[0]) > 13
    recipes = [tuple(node["recipe"].items()) for node in trees[-1]]
    assert len(set(recipes)) == len(recipes), "a recipe that two ways lead to is looked at once"
    assert all(node["parent"] < node["id"] for node in trees[-1][1:])


def test_the_best_so_far_never_gets_worse_and_is_the_picture(steps):
    objectives = [step.scores["objective"] for step in steps]
    assert objectives == sorted(objectives)
    last = steps[-1]
    best = max(last.extras["tree"], key=lambda node: node["objective"])
    assert last.extras["node"] == best["id"] and last.extras["found"]["adjustments"] == best["recipe"]
    assert last.image.tobytes() == apply(Adjustments(**best["recipe"]), dull()).tobytes()


def test_undoing_goes_up_the_tree(steps):
    tree = steps[-1].extras["tree"]
    deepest = max(tree, key=lambda node: len(path_to(tree, node["id"])))
    way = path_to(tree, deepest["id"])
    assert way[0]["id"] == 0 and len(way) >= 3
    for up, down in zip(way, way[1:], strict=False):
        a, b = Adjustments(**up["recipe"]), Adjustments(**down["recipe"])
        changed = [name for name in Adjustments.model_fields if getattr(a, name) != getattr(b, name)]
        assert len(changed) == 1 or set(changed) <= {"black", "white"} or "crop" in changed, "one move an edge"


def test_objective_is_score_minus_drift_minus_clipping(tiny):
    x = to_tensor(dull())
    recipes = [Adjustments(), Adjustments(contrast=1.5), Adjustments(crop=0.9)]
    free, priced = Looks(tiny, x, 0, 0)(recipes), Looks(tiny, x, 4, 8)(recipes)
    for a, b in zip(free, priced, strict=True):
        assert a["objective"] == pytest.approx(a["aesthetic"])
        assert b["objective"] == pytest.approx(b["aesthetic"] - 4 * b["drift"] - 8 * b["clipped"], abs=1e-5)
    assert max(free[0]["drift"], free[2]["drift"]) < 1e-9, "a crop is held against the same part of the picture"
    assert free[1]["drift"] > 0


def test_an_endless_price_leaves_the_picture_as_it_is_and_the_search_settles_early(tiny):
    run = list(spec_of(dull(), steps=10, drift=1000.0, clipping=1000.0, proxy=64).run(tiny))
    assert run[-1].extras["found"] == {"adjustments": {}, "words": "nothing"}
    assert run[-1].image.tobytes() == dull().tobytes()
    settled = [step.i for step in run if step.extras["settled"]]
    assert settled and len(run[-1].extras["tree"]) == len(run[settled[0]].extras["tree"])


def test_a_gain_below_the_least_is_none():
    tree = [{"objective": 1.0}, {"objective": 1.4}]
    assert chosen(tree, 0.5) is tree[0] and chosen(tree, 0.3) is tree[1]


def test_the_search_sees_a_small_copy_and_the_recipe_is_done_to_all(tiny):
    picture = Image.fromarray(render(sample_scene(3, "test"), 256)).resize((300, 200))
    assert proxy_of(to_tensor(picture), 96).shape[-2:] == (64, 96)
    assert proxy_of(torch.zeros(1, 3, 2000, 20), 128).shape[-2:] == (128, SMALLEST)
    last = list(spec_of(picture, steps=2, proxy=64).run(tiny))[-1]
    assert last.image.size == (300, 200)


def test_without_guards_it_says_so(tiny):
    notice = collect(spec_of(dull(), steps=1, drift=0, clipping=0), tiny).notices
    assert len(notice) == 1 and "which need not be a better picture" in notice[0]
    assert not collect(spec_of(dull(), steps=1), tiny).notices


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(SpecError, match="picture: 1 × 1 pixels show nothing to judge; give at least 16 × 16"):
        spec_of(Image.new("RGB", (1, 1)))


def test_a_head_that_does_not_fit_the_clip_is_refused_before_anything_is_made():
    lab = TinyLab()
    lab._models["aesthetic"] = AestheticHead(AestheticConfig(768)).eval().requires_grad_(False)
    with pytest.raises(SpecError, match="of 768 numbers, the lab's CLIP .tiny. makes 16"):
        list(spec_of(dull()).run(lab))


def test_the_recipe_lies_in_the_png(tiny, tmp_path):
    from labkit.image import read_recipe

    result = collect(spec_of(dull()), tiny)
    found = read_recipe(result.save(tmp_path / "better.png"))["found"]
    recipe = Adjustments(**found["adjustments"])
    assert found["words"] == recipe.words()
    assert apply(recipe, dull()).tobytes() == result.image.tobytes()


def test_it_undoes_what_was_done_to_a_scene(missing):
    """On the pocket models: nearer to the original than before."""
    lab = pocket_lab(missing, Enhance.needs)
    nearer = 0
    for number in (1, 3, 4):
        original, x = to_tensor(Image.fromarray(render(sample_scene(number, "test", two=False)))), to_tensor(dull(number))
        last = list(spec_of(dull(number), steps=8).run(lab))[-1]
        y = adjusted(x, [Adjustments(**last.extras["found"]["adjustments"])])[0]
        nearer += float((y - original).square().mean()) < float((x - original).square().mean())
    assert nearer >= 2
