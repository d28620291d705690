"""Generators on the same sketches: each gets what it can read, and the table says what is in its pictures."""

import pytest
import torch

from labkit.evaluation import generators
from labkit.evaluation.generators import WAYS, compare_generators
from labkit.evaluation.sketching import TEMPLATE, held_out_sketches
from labkit.image import to_pil, to_tensor
from labkit.world import read


@pytest.fixture(scope="module")
def compared(tiny, own_bank):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generators, "TEMPLATE", TEMPLATE.but(steps=3))
        return compare_generators(tiny, 3)


def test_every_way_makes_a_picture_of_every_sketch(compared):
    assert list(compared.pictures) == [*WAYS, "the sketch as it is", "drawn scenes"]
    assert all(x.shape == (3, 3, 64, 64) and 0 <= x.min() and x.max() <= 1 for x in compared.pictures.values())
    assert compared.table.groupby("way").size().eq(3).all()


def test_each_takes_what_it_can_read(compared, tiny):
    asked = held_out_sketches(3)
    s = torch.cat([to_tensor(one.sketch.picture) for one in asked]) * 2 - 1
    e = tiny.clip.encode_text([one.prompt for one in asked])
    wanted = {"pix2pix (sketch and prompt)": tiny.pix2pix(s, e), "CycleGAN (sketch)": tiny.cyclegan(s),
              "bottleneck VAE (prompt)": torch.cat([tiny.bottleneck.sample(e[k:k + 1], k) for k in range(3)])}
    for way, x in wanted.items():
        assert torch.allclose(compared.pictures[way], (x + 1) / 2, atol=1e-5), way
    assert torch.equal(compared.pictures["drawn scenes"], torch.cat([to_tensor(one.drawn) for one in asked]))


def test_the_table_says_what_the_judge_sees(compared, tiny):
    for _, row in compared.table.iterrows():
        k = [one.sketch.id for one in held_out_sketches(3)].index(row["sketch"])
        finds = tiny.judge(to_pil(compared.pictures[row["way"]][k])).finds(read(row["prompt"]))
        assert all(float(found) == row[name] for name, found in finds.items())
    summary = compared.summary.set_index("way")
    assert summary.loc["drawn scenes", "perceptual distance"] == "–" == summary.loc["the sketch as it is", "seconds"]
    kept = compared.table.set_index("way").loc["the sketch as it is", "edges kept"].mean()
    assert summary.loc["the sketch as it is", "edges kept"].startswith(f"{kept:.1%} (") and kept > 0.9
    mine = sum(p.numel() for p in tiny.pix2pix.parameters()) / 1e6
    assert summary.loc["pix2pix (sketch and prompt)", "parameters"] == f"{mine:.1f} M"


@pytest.mark.parametrize(("figures", "way"), [(generators.pix2pix_figures, "pix2pix (sketch and prompt)"),
                                              (generators.cyclegan_figures, "CycleGAN (sketch)")])
def test_a_card_has_the_figures_of_its_own_way(tiny, own_bank, compared, figures, way):
    (title, table), = figures(tiny, 3).items()
    assert "3 held-out" in title and list(table.columns) == [way, "the sketch as it is", "drawn scenes"]
    assert table.loc["subject", way] == compared.summary.set_index("way").loc[way, "subject"]
