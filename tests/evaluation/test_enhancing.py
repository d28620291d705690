"""The study of enhancing: its scenes, the ways that it compares, and cells that are made once. The tree's figure is drawn."""

import io

import torch
from PIL import Image

from labkit.evaluation import enhancing
from labkit.evaluation.enhance_figures import tree_figure
from labkit.evaluation.enhancing import (
    OTHERS,
    WAYS,
    by_depth_two,
    by_filter,
    by_random,
    by_statistics,
    enhance_study,
    spoilt_scenes,
)
from labkit.image.adjust import Adjustments, adjusted, luma
from labkit.methods.enhance import Enhance, Looks

FAST = enhancing.SEARCH.but(steps=2, beam=1)


def test_tuning_scenes_are_others_and_what_was_done_is_known():
    measured, tuned = spoilt_scenes(12), spoilt_scenes(12, tuning=True)
    assert not {one.scene.seed for one in measured} & {one.scene.seed for one in tuned}
    assert all(1 <= len(one.done) <= 3 for one in measured) and spoilt_scenes(3)[2] == measured[2]
    original, x = measured[0].pictures()
    assert not torch.allclose(original, x, atol=0.02)
    clean = spoilt_scenes(1, clean=True)[0].pictures()
    assert torch.equal(*clean)


def test_simple_statistics_bring_the_mean_to_the_middle():
    dark = 0.05 + 0.3 * torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)) ** 2
    recipe = by_statistics(dark)
    y = adjusted(dark, [recipe])[0]
    assert abs(float(luma(y).mean()) - 0.5) < 0.1 < abs(float(luma(dark).mean()) - 0.5) and recipe.white < 0.6


def test_the_user_s_filter_is_the_nearest_one():
    original, _ = spoilt_scenes(1, clean=True)[0].pictures()
    cold = adjusted(original, [Adjustments(temperature=-0.25)])[0]
    assert by_filter(cold, original) == enhancing.FILTERS["warm"] and by_filter(original, original) == Adjustments()


def test_other_searches_have_as_many_evaluations(tiny):
    _, x = spoilt_scenes(1)[0].pictures()
    looks = Looks(tiny, x, 0, 0)
    by_random(looks, 30, 0.0, seed=1)
    assert looks.count == 30
    by_depth_two(looks, 40, 0.0)
    assert looks.count == 70


def test_cells_are_made_once_and_summed_up(tiny, tmp_path, monkeypatch):
    made = enhance_study(tiny, 2, 1, FAST, tmp_path, n_jobs=1)
    assert len(list(tmp_path.glob("*.json"))) == 4
    degraded = made.table[made.table["done"] != ""]
    assert list(degraded["way"].value_counts().reindex([*WAYS, *OTHERS])) == [2, 2, 2, 1, 1, 1]
    assert (degraded["error before"] > 0).all() and len(made.table) == 9 + 2
    assert "n = 2" in made.summary.loc["search", "nearer"] and "harmed" in made.summary and made.sheet(2).width > 500
    monkeypatch.setattr(enhancing, "ways_of", None)  # nothing is made again
    assert enhance_study(tiny, 2, 1, FAST, tmp_path, n_jobs=1).table.equals(made.table)


def test_the_tree_is_drawn(tiny):
    spec = Enhance(**{**Enhance.example, "steps": 3, "least": 0.0, "drift": 0.0, "clipping": 0.0, "crop": True})
    last = list(spec.run(tiny))[-1].extras
    for node in (last["node"], 0):
        file = io.BytesIO()
        tree_figure(spec.picture.pil(), last["tree"], node).savefig(file, format="png", dpi=60)
        with Image.open(file) as drawn:
            assert drawn.height > 200 and len(drawn.convert("RGB").getcolors(1_000_000)) > 100
