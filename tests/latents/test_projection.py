"""Pictures on maps, walks, the atlas, neighbours, and folders of anyone's pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image import ImageError
from labkit.latents.atlas import LevelBook, by_colour, code_tiles, code_usage, codebook_atlas, nearest, purity
from labkit.latents.folder import FolderError, PictureFolder
from labkit.latents.projection import Projection, compare_maps
from labkit.latents.sources import SOURCES, embed, embed_all, fitted
from labkit.latents.walks import picture_walk, slerp, walk
from labkit.models.pixels import Pixels
from labkit.spec import SpecError
from tests.conformance import TinyLab


@pytest.fixture(scope="module")
def lab():
    return TinyLab()


def pictures(n: int = 9) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (20 + k, 24, 3), dtype=np.uint8)) for k in range(n)]


@pytest.mark.parametrize("space", sorted(SOURCES))
def test_each_space_takes_pictures_of_any_size_in_any_batch(lab, space):
    some = pictures(70)
    vectors = embed(lab, space, iter(some))
    assert vectors.shape[0] == 70 and vectors.dtype == np.float32
    assert np.allclose(vectors[-3:], embed(lab, space, some[-3:]), atol=1e-5), "a batch's neighbours change nothing"
    if SOURCES[space].metric == "cosine":
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(embed_all(lab, ("clip", space), some)[space], vectors)


def test_histograms_count_codes(lab):
    (row,) = embed(lab, "vqgan-codes", pictures(1))
    assert (row**2).sum() == pytest.approx(1, abs=1e-5)
    usage = code_usage(lab.vqgan, pictures(1))
    assert np.allclose(row**2, usage / usage.sum(), atol=1e-6)
    with pytest.raises(SpecError, match="Pixels has no codes"):
        SOURCES["vqgan-codes"].vectors(Pixels(), pictures(1))


def test_a_vqvae_is_seen_level_by_level(lab):
    """By hand, from what its own `encode` gives: top first, each level weighing the same in the histogram."""
    some = pictures(3)
    (top, bottom), codes = lab.vqvae.encode(fitted(lab.vqvae, some))
    found = embed_all(lab, ("vqvae-mean", "vqvae-top", "vqvae-bottom", "vqvae-codes"), some)
    assert np.allclose(found["vqvae-mean"], np.hstack([z.mean((2, 3)).numpy() for z in (top, bottom)]), atol=1e-6)
    assert np.array_equal(found["vqvae-top"], top.flatten(1).numpy())
    assert np.array_equal(found["vqvae-bottom"], bottom.flatten(1).numpy())
    n = lab.vqvae.n_embed
    for k, level in enumerate(codes):
        for row, indices in zip(found["vqvae-codes"], level, strict=True):
            counts = np.bincount(indices.flatten().numpy(), minlength=n)
            assert np.allclose(2 * row[k * n:(k + 1) * n] ** 2, counts / counts.sum(), atol=1e-6)


def test_vectors_of_blip_are_those_that_the_lab_gives(lab):
    side = lab.blip.size
    some = [picture.resize((side, side)) for picture in pictures(3)]
    assert np.allclose(embed(lab, "blip", some), lab.blip.encode_image(some).numpy(), atol=1e-5)


def test_a_spec_needs_the_model_of_its_own_space_only():
    assert Projection(space="clip").needs == ("clip",) and Projection(space="vqgan-flat").needs == ("vqgan",)
    assert Projection(space="blip").needs == ("blip",) and Projection(space="vqvae-codes").needs == ("vqvae",)
    assert set(Projection.needs) == {"clip", "blip", "vqgan", "vqvae"}


def test_the_result_says_who_is_where_and_what_the_map_is_worth(lab):
    found = Projection(space="vqgan-mean", way="tsne", perplexity=2).compute(lab, pictures(), list("abcdefghi"),
                                                                           [1] * 4 + [2] * 5)
    assert list(found.table.index) == list("abcdefghi") and list(found.table["label"]) == ["1"] * 4 + ["2"] * 5
    assert "trustworthiness" in found.notices[0] and "means nothing" in found.notices[1]
    axes = found.figure().axes[0]
    assert len([a for a in axes.artists]) == 9, "few pictures are drawn themselves"
    pair = compare_maps([found.map, found.map], found.labels, ("one", "other"))
    assert [axes.get_title().partition(":")[0] for axes in pair.axes] == ["one", "other"]
    assert pair._repr_png_() and found.figure()._repr_png_(), "a notebook shows them by itself"


def test_lists_of_other_lengths_and_too_few_pictures_are_told(lab):
    spec = Projection(space="clip", way="pca")
    with pytest.raises(SpecError, match="labels: 2 for 9 images"):
        spec.compute(lab, pictures(), labels=["a", "b"])
    with pytest.raises(SpecError, match="1 are too few"):
        spec.compute(lab, pictures(1))
    with pytest.raises(SpecError, match="there are none"):
        spec.compute(lab, [])
    with pytest.raises(ImageError, match="no picture"):
        spec.compute(lab, ["a.png", "b.png", "c.png"])


def test_an_arc_keeps_to_the_sphere_and_its_speed():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    third = slerp(a, b, 1 / 3)
    angle = torch.atan2(third[1], third[0])
    assert float(angle) == pytest.approx(np.pi / 6, abs=1e-5) and float(third.norm()) == pytest.approx(2 + 2 / 3, abs=1e-5)
    x, y = torch.randn(2, 512, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(x, y, 0.0), x, atol=1e-4) and torch.allclose(slerp(x, y, 1.0), y, atol=1e-4)
    assert float(walk(x, y, 3)[1].norm()) < 0.8 * float(x.norm()) < float(walk(x, y, 3, "spherical")[1].norm())
    assert torch.allclose(slerp(x, 2 * x, 0.5), 1.5 * x, atol=1e-4)
    with pytest.raises(SpecError, match="opposite"):
        slerp(a, -a, 0.5)
    with pytest.raises(SpecError, match="must be alike"):
        walk(a, x)


def test_a_walk_begins_and_ends_at_the_pictures_own_codes(lab):
    first, last = pictures(2)
    steps = picture_walk(lab.vqgan, first, last, 4)
    ends = [picture_walk(lab.vqgan, one, one, 2)[0] for one in (first, last)]
    assert len(steps) == 4 and steps[0].tobytes() == ends[0].tobytes() and steps[-1].tobytes() == ends[1].tobytes()


def test_the_atlas_has_a_tile_a_code(lab):
    tiles = code_tiles(lab.vqgan)
    assert len(tiles) == lab.vqgan.n_embed and tiles[0].size == (lab.vqgan.f * 4,) * 2
    assert code_tiles(lab.vqgan, [5])[0].tobytes() == tiles[5].tobytes()
    side = tiles[0].width + 1
    assert codebook_atlas(lab.vqgan, columns=6).size == (6 * side + 1, 4 * side + 1)
    faint = np.asarray(codebook_atlas(lab.vqgan, np.zeros(lab.vqgan.n_embed)))
    assert faint.min() >= 190, "codes without use are faint"
    usage = np.arange(lab.vqgan.n_embed)
    one = codebook_atlas(lab.vqgan, usage, pad=0, busiest=1)
    assert one.tobytes() == tiles[-1].tobytes(), "the code of most use"
    assert codebook_atlas(lab.vqgan, usage, columns=2, busiest=4).size == (2 * side + 1, 2 * side + 1)
    for bad, said in (({"usage": usage[1:]}, "usage: 23 counts for 24 codes"), ({"busiest": 3}, "busiest: 3 needs usage"),
                      ({"usage": usage, "busiest": 0}, "must be 1 or more")):
        with pytest.raises(SpecError, match=said):
            codebook_atlas(lab.vqgan, **bad)
    with pytest.raises(SpecError, match="codes: 24 is none of 0 … 23"):
        code_tiles(lab.vqgan, [24])


@pytest.mark.parametrize(("level", "f"), [(0, 8), (1, 4)])
def test_the_atlas_of_a_level_shows_its_codes_over_the_mean_of_the_other(lab, level, f):
    some, model = pictures(5), lab.vqvae
    book = LevelBook(model, level, some)
    tiles = code_tiles(book, [0, 9])
    vectors, codes = model.encode(fitted(model, some))
    other = vectors[1 - level].mean((0, 2, 3))[None, :, None, None].expand(1, -1, *((3, 3) if level else (12, 12)))
    own = model.codebook(level)[9][None, :, None, None].expand(1, -1, 6, 6)
    x = model.decode(*((other, own) if level else (own, other)))[0, :, f:-f, f:-f]
    by_hand = ((x.clamp(-1, 1) + 1) / 2 * 255).permute(1, 2, 0).numpy()
    assert tiles[1].size == (4 * f, 4 * f) and np.abs(np.asarray(tiles[1], float) - by_hand).max() <= 1
    counts = code_usage(book, some)
    assert np.array_equal(counts, np.bincount(codes[level].flatten().numpy(), minlength=model.n_embed))
    assert codebook_atlas(book, counts, columns=2, busiest=4).size == (2 * (4 * f + 1) + 1,) * 2


def test_a_level_book_names_what_it_cannot_do(lab):
    with pytest.raises(SpecError, match="level: must be 0"):
        LevelBook(lab.vqvae, 2, pictures(1))
    with pytest.raises(SpecError, match="pictures: there are none"):
        LevelBook(lab.vqvae, 0, [])
    with pytest.raises(SpecError, match="5 × 5 cells; the bottom level's sides must be even"):
        code_tiles(LevelBook(lab.vqvae, 1, pictures(1)), [0], cells=5)


def test_tiles_lie_by_lightness_then_by_hue():
    names = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (160, 0, 0), "green": (0, 82, 0), "blue": (0, 0, 255)}
    tiles = [Image.new("RGB", (2, 2), colour) for colour in names.values()]
    order = [list(names)[k] for k in by_colour(tiles, 4)]
    assert order[-1] == "white" and set(order[:4]) == {"black", "red", "green", "blue"}
    assert [list(names)[k] for k in by_colour(tiles, 1)] == ["black", "blue", "red", "green", "white"], "dark first"


def test_neighbours_by_hand():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], np.float32)
    indices, distances = nearest(vectors, np.array([[2.0, 0.0]]), 2)
    assert indices.tolist() == [[0, 1]] and distances[0, 0] == pytest.approx(0, abs=1e-6)
    assert nearest(vectors, vectors[:1], 1, "euclidean")[1].tolist() == [[0]]
    with pytest.raises(SpecError, match="k: must be 1 to 4"):
        nearest(vectors, vectors, 5)


def test_purity_of_clusters_is_1_and_of_shuffled_labels_chance():
    rng = np.random.default_rng(0)
    of = np.arange(200) % 4
    vectors = np.eye(4)[of] + 0.05 * rng.normal(size=(200, 4))
    assert purity(vectors, of)["all"] == 1
    found = purity(vectors, rng.permutation(of))
    assert found["all"] == pytest.approx(found["chance"], abs=0.06) and found["chance"] == pytest.approx(49 / 199)


@pytest.fixture
def folder(tmp_path):
    for k, picture in enumerate(pictures(6)):
        path = tmp_path / ("cats" if k % 2 else "dogs") / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 cut short")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_a_folder_gives_its_pictures_and_lists_what_is_broken(folder):
    found = PictureFolder.of(folder)
    assert len(list(found.pictures())) == 6 and list(found.skipped) == ["broken.jpg"]
    assert found.names[:2] == ["cats/1.png", "cats/3.png"] and found.labels == {"folder": ["cats"] * 3 + ["dogs"] * 3}
    assert found.captions == []


def test_captions_belong_to_names_and_further_columns_are_labels(folder):
    (folder / "metadata.csv").write_text("file_name,text,year\ncats/1.png,=a cat,1999\ndogs/0.png,a dog,2001\n")
    found = PictureFolder.of(folder, folder / "metadata.csv")
    list(found.pictures())
    assert found.captions == ["=a cat", "", "", "a dog", "", ""] and found.labels["year"][0] == 1999
    assert set(found.labels) == {"folder", "year"}


@pytest.mark.parametrize(("text", "said"), [
    ("file,text\na,b\n", "no column file_name; it has file, text"), ("file_name\na\n", "no column text"),
    ("file_name,text\nother.png,x\n", "names no picture of"), ("file_name,text\n", "no line"),
    ("file_name,text\ncats/1.png,x\ncats/1.png,y\n", "cats/1.png twice"), ('file_name,text\n"a,b\n', "no table"),
])
def test_a_table_that_does_not_fit_is_told(folder, text, said):
    (folder / "captions.csv").write_text(text)
    with pytest.raises(FolderError, match=said) as told:
        PictureFolder.of(folder, folder / "captions.csv")
    assert "captions.csv" in str(told.value)


def test_folders_without_pictures_are_told(tmp_path):
    (tmp_path / "a.txt").write_text("")
    for path, said in ((tmp_path, "holds no pictures"), (tmp_path / "a.txt", "is a file"), (tmp_path / "b", "no such folder")):
        with pytest.raises(FolderError, match=said):
            PictureFolder.of(path)
