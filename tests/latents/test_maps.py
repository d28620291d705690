"""Maps: closed forms of PCA, what t-SNE keeps, new points, and vectors that make no map."""

import numpy as np
import pytest

from labkit.latents import maps
from labkit.latents.maps import enough, faithfulness, make_map, perplexities
from labkit.loop import NonFiniteError
from labkit.spec import SpecError


def clusters(n: int = 120, dims: int = 10, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about k far centres, and which each belongs to."""
    rng = np.random.default_rng(seed)
    of = np.arange(n) % k
    return (10 * np.eye(k, dims)[of] + rng.normal(size=(n, dims))).astype(np.float32), of


@pytest.fixture(scope="module")
def tsne():
    vectors, of = clusters()
    return vectors, of, make_map(vectors, "tsne", perplexity=15)


def test_pca_finds_axes_and_variances():
    """Independent directions of standard deviations 3, 2, 1 in a turned frame."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 3)) * (3, 2, 1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = make_map(x @ turn.T, "pca")
    assert found.explained == pytest.approx((9 / 14, 4 / 14), abs=0.04)
    centred = x - x.mean(0)
    for axis in range(2):
        assert abs(np.corrcoef(found.xy[:, axis], centred[:, axis])[0, 1]) > 0.99
    assert f"{found.explained[0]:.0%}" in found.title


def test_signs_are_fixed_whatever_the_rows():
    vectors, _ = clusters()
    one, other = make_map(vectors, "pca"), make_map(vectors[::-1], "pca")
    assert np.allclose(one.xy, other.xy[::-1], atol=1e-3)
    axes = one.model[0].components_
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in axes)
    mirrored = make_map(-vectors, "pca")
    assert np.allclose(mirrored.xy, -one.xy, atol=1e-3), "the axes are the same ones, not turned round with the points"


def test_tsne_keeps_clusters_and_is_the_same_again(tsne):
    vectors, of, found = tsne
    centres = np.stack([found.xy[of == k].mean(0) for k in range(3)])
    nearest = np.linalg.norm(found.xy[:, None] - centres, axis=-1).argmin(1)
    assert (nearest == of).all() and found.trust > 0.85
    assert np.array_equal(make_map(vectors, "tsne", perplexity=15).xy, found.xy)


def test_new_points_land_in_their_cluster_and_move_no_old_one(tsne):
    vectors, of, found = tsne
    before = found.xy.copy()
    more, theirs = clusters(30, seed=1)
    placed = found.place(more)
    centres = np.stack([found.xy[of == k].mean(0) for k in range(3)])
    assert (np.linalg.norm(placed[:, None] - centres, axis=-1).argmin(1) == theirs).all()
    assert np.array_equal(found.xy, before)
    pca = make_map(vectors, "pca")
    assert np.allclose(pca.place(vectors[:5]), pca.xy[:5], atol=1e-4)
    with pytest.raises(SpecError, match="of length 4, those of the map have 10"):
        found.place(more[:, :4])


def test_trustworthiness_tells_a_map_from_noise(monkeypatch):
    monkeypatch.setattr(maps, "JUDGED", 300)
    vectors = np.random.default_rng(0).normal(size=(350, 2)).astype(np.float32)
    trust, continuity, k, judged = faithfulness(vectors, vectors)
    assert (trust, continuity, k, judged) == (1, 1, 12, 300)
    noise = np.random.default_rng(1).normal(size=vectors.shape)
    assert faithfulness(vectors, noise)[0] == pytest.approx(0.5, abs=0.05)
    assert faithfulness(vectors[:3], vectors[:3])[:2] == (1, 1)


def test_a_perplexity_that_points_are_too_few_for_is_told():
    vectors, _ = clusters(20)
    with pytest.raises(SpecError, match=r"perplexity: 30 needs 91 points.*there are 20: give a perplexity of 6.3 or less"):
        make_map(vectors, "tsne")
    enough(20, "tsne", 6.3)
    assert make_map(vectors, "tsne", 6.3).perplexity == 6.3
    assert [m.perplexity for m in perplexities(vectors, (2, 5, 30))] == [2, 5]
    with pytest.raises(SpecError, match="take pca"):
        make_map(vectors[:3], "tsne", 2)


@pytest.mark.parametrize(("vectors", "error", "said"), [
    (np.ones((2, 4)), SpecError, "2 are too few"), (np.ones((5, 4)), SpecError, "same vector"),
    (np.full((5, 4), np.nan), NonFiniteError, "NaN"), (np.ones(5), SpecError, r"\(N, D\)"),
])
def test_what_makes_no_map_is_told(vectors, error, said):
    with pytest.raises(error, match=said):
        make_map(vectors, "pca")


def test_three_points_and_one_dimension_are_a_map():
    found = make_map(np.array([[0.0], [1.0], [3.0]]), "pca")
    assert found.xy.shape == (3, 2) and (found.xy[:, 1] == 0).all() and found.explained == pytest.approx((1, 0))
