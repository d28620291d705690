"""Studies that are kept: the same when read back, stale when what made them has changed, and each can be made small."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labkit.data import data_path
from labkit.evaluation import catalogue
from labkit.evaluation import stored as stored_module
from labkit.evaluation.catalogue import STUDIES, load_study, make_study, study_of
from labkit.evaluation.sketch_claims import findings
from labkit.evaluation.stored import Found, changed, read_study, save_study, sources_of
from labkit.fetch import sha256_of
from labkit.image import contact_sheet
from labkit.kinds import KINDS
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.models import stable_load
from labkit.spec import SpecError
from tests.conformance import pocket_lab

# Every study has small sizes here, at which it is run: a new one is not forgotten.
SMALL = {
    "initial-image": {"prompts": 2}, "prompt-detail": {"seeds": 1}, "fair-detail": {"prompts": 2},
    "iterations": {"prompts": 3, "at": (1, 2, 3)}, "strength": {"prompts": 1, "steps": (2, 3)},
    "range": {"prompts": 1, "steps": 2}, "excerpts": {"songs": 2, "steps": 2}, "ways": {"prompts": 20, "steps": 2},
    "generation": {"n": 20, "draws": 20},
    "conditioning": {"steps": 2, "batch": 8, "scenes": 32, "seeds": (71,), "n": 2},
    "sketching": {"sketches": 2, "strengths": (0.1, 0.5), "guidances": (1.0, 2.0), "seeds": 1},
    "sketch-quality": {"sketches": 2, "seeds": 1}, "generators": {"sketches": 2},
    "styling": {"scenes": 2, "by_picture": 0, "halves": 2, "steps": 2},
    "enhancing": {"scenes": 2, "compared": 1},
    "clinic": {"prompts": 1, "seeds": 1, "steps": 2, "pictures": 2, "painting": 1, "alphas": 2, "modes": 0},
}


@pytest.fixture(scope="module")
def lab(missing, own_bank):
    return pocket_lab(missing, ("guide", "clip", "vqgan", "diffusion", "gan", "perceptual", "judge", "blip", "vqvae",
                                "prior_top", "prior_bottom", "bottleneck", "cyclegan"))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Painting of two steps, where a study does not say how many."""
    monkeypatch.setattr(catalogue.studies, "PAINT", VQGANCLIP(prompt="-", steps=2))


def test_every_study_has_a_small_version_here():
    assert set(SMALL) == set(STUDIES)
    assert all(study.about.endswith((".", "?")) and study.templates for study in STUDIES.values())


@pytest.mark.parametrize("name", SMALL)
def test_a_study_is_made_kept_and_read_back(name, lab, tmp_path, missing, monkeypatch):
    pocket_lab(missing, {kind for spec in STUDIES[name].templates for kind in spec.needs})
    monkeypatch.chdir(tmp_path)  # the cells of a sweep stay in the folder where it is made
    made = make_study(name, lab, n_jobs=1, folder=tmp_path, **SMALL[name])
    assert made.table.shape[0] >= 2 and min(made.sheet.size) > 100
    assert {"prompt", "clip", "metric", "told", "way"} & set(made.table.columns)
    assert "clip" not in made.table or np.isfinite(made.table["clip"].astype(float)).all()
    assert made.made["command"] == f"python -m labkit study {name}" and made.made["processor"] and made.made["date"]
    needs = {"guide": "clip"}
    wanted = {f"models/{KINDS[needs.get(k, k)].home}" for spec in STUDIES[name].templates for k in spec.needs if k != "vqgan"}
    assert wanted | {"models/judge.safetensors"} <= set(made.made["sources"])
    assert [line for line in made.stale if not line.startswith("a small version")] == []
    assert "`python -m labkit study" in repr(made) and made._repr_markdown_().startswith("**Study")


def test_the_studies_of_sketches_are_made_whatever_the_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid, quality = (make_study(name, tiny, n_jobs=1, folder=tmp_path, **SMALL[name])
                     for name in ("sketching", "sketch-quality"))
    assert len(grid.table) == 8 and set(grid.found.tables) == {"", "means", "references"}, "too few pictures for a distance"
    assert set(grid.found.sheets) == {"", "grid", "heat"} and len(quality.table) == 2 * 8 * 2
    assert str(tmp_path) not in (tmp_path / "sketching.csv").read_text(), "where its cells lie is nobody's affair"
    assert list(tmp_path.glob("out/sketching/*.png"))
    found = findings(grid.table, quality.table)
    assert {one.outcome for one in found.values()} <= {"supported", "contradicted", "undecided"} and len(found) == 7


def test_a_model_of_several_files_is_a_source_by_each_of_them(tmp_path, monkeypatch):
    parts = ["vae/diffusion_pytorch_model", "unet/diffusion_pytorch_model", "text_encoder/model"]
    names = [f"models/stable_diffusion/{part}.safetensors" for part in parts]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "models/stable_diffusion/model_index.json").touch()
    for module in (stable_load, stored_module):
        monkeypatch.setattr(module, "data_path", lambda *place: tmp_path.joinpath(*place))
    whole = stable_load.digest_of(stable_load.pocket_files())
    found = sources_of([{"name": "pocket", "sha256": whole}])
    assert list(found) == names and changed(found) == [] and sources_of([{"name": "else", "sha256": "0"}]) == {}
    (tmp_path / names[1]).write_bytes(b"trained on")
    assert changed(found) == [f"{names[1]} is another now"]
    assert "with the pocket models stable_diffusion." in repr(stored_module.StoredStudy("x", Found({}), {
        **dict.fromkeys(("date", "command", "processes", "threads", "processor"), 1), "minutes": 1.0, "sources": found}, ()))


def test_tables_come_back_as_they_were(tmp_path):
    table = pd.DataFrame({"prompt": ["a dog", "None"], "shows": ["", ""], "unknown": ["", "nan"], "p": [0.5, float("nan")],
                          "seed": [0, 1]})
    save_study("x", Found({"": table, "more": table[["p"]]}, {"": Image.new("RGB", (9, 9), "red")}),
               {"sources": {}, "sizes": {}}, tmp_path)
    back = read_study("x", tmp_path)
    assert back.table["shows"].to_list() == ["", ""] and back.table["unknown"].to_list() == ["", "nan"]
    assert back.table["prompt"].to_list() == ["a dog", "None"] and back.table["seed"].to_list() == [0, 1]
    assert back.table["p"][0] == 0.5 and np.isnan(back.table["p"][1]) and list(back.found.tables) == ["", "more"]
    assert back.sheet.getpixel((4, 4)) == (255, 0, 0)


def test_a_part_of_a_sheet_is_whole_rows(tmp_path):
    pictures = [Image.new("RGB", (64, 64), (k * 20, 0, 0)) for k in range(10)]
    sheet = contact_sheet(pictures, ["x"] * 10, 4, 64)
    save_study("x", Found({"": pd.DataFrame({"k": range(10)})}, {"": sheet}), {"sources": {}, "sizes": {}}, tmp_path)
    back = read_study("x", tmp_path)
    two = back.first_rows(2, columns=4)
    assert two.height * 3 == pytest.approx(sheet.height * 2, abs=3) and two.width == sheet.width
    assert back.first_rows(9, columns=4).size == sheet.size


def stored(tmp_path, sources, specs, sizes=None):
    save_study("range", Found({"": pd.DataFrame({"clip": [1.0]})}), {
        "sources": sources, "sizes": sizes or {}, "specs": specs, "date": "2026-01-01",
        "command": "python -m labkit study range", "minutes": 1.0, "processor": "AVX2", "processes": 2, "threads": 1}, tmp_path)
    return load_study("range", tmp_path)


def test_stale_is_told_of_weights_specs_and_sizes(tmp_path):
    file = "world/words.json"
    right = {file: sha256_of(data_path(file))}
    now = {spec.digest(): {"method": "GuidedDiffusion"} for spec in STUDIES["range"].templates}
    fresh = stored(tmp_path, right, now)
    assert fresh.stale == () and "STALE" not in repr(fresh) and "AVX2" in repr(fresh) and "2026-01-01" in repr(fresh)
    assert stored(tmp_path, {file: "0" * 64}, now).stale == ("world/words.json is another now",)
    assert stored(tmp_path, {"models/none.safetensors": "0" * 64}, now).stale == ("models/none.safetensors is gone",)
    old = stored(tmp_path, right, {"0" * 16: {"method": "GuidedDiffusion"}})
    assert old.stale == ("GuidedDiffusion's defaults are others now",) and "STALE: GuidedDiffusion's" in repr(old)
    assert stored(tmp_path, right, now, {"steps": 2}).stale == ("a small version: steps=2",)


def test_a_study_that_is_not_kept_names_its_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m labkit study range` makes it"):
        load_study("range", tmp_path)
    with pytest.raises(SpecError, match="'rage' is none; there are initial-image"):
        study_of("rage")


def test_sources_are_the_shipped_weights_with_these_sums():
    path = next(iter(sorted(data_path("models").glob("*.safetensors"))))
    found = sources_of([{"name": "pocket", "sha256": sha256_of(path)}, {"name": "else", "sha256": None}])
    assert found == {f"models/{path.name}": sha256_of(path)} and changed(found) == []


@pytest.mark.parametrize("name", sorted(path.stem for path in data_path("studies").glob("*.json")))
def test_kept_studies_are_whole_and_of_today_s_models(name):
    study = load_study(name)
    assert len(study.table) and study.found.sheets and study.made["specs"]
    assert not study.stale, f"python -m labkit study {name}"
