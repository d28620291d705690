"""CLIPstyler's losses in closed form."""

import pytest
import torch

from labkit.clip.style_losses import Objective, StyleLosses, StylePatches, total_variation


class Eye:
    """A perceptual net that sees pixels."""

    content_layers = ("pixels",)

    def layers(self, x, names):
        return {"pixels": x}


class Guide:
    """A CLIP whose vector of a picture is its mean colour, in four dimensions, of length 1."""

    size = 8

    def encode_image(self, x):
        v = torch.cat([x.mean((2, 3)), torch.full((len(x), 1), 0.5)], 1)
        return v / v.norm(dim=1, keepdim=True)


def objective(directions, weights=(1.0,), **patches) -> Objective:
    d = torch.tensor(directions)
    return Objective(Guide(), Eye(), StylePatches(**{"number": 4, "perspective": 0.0, **patches}), StyleLosses(),
                     d / d.norm(dim=1, keepdim=True), torch.tensor(weights))


def losses(aim: Objective, y, x):
    return aim.losses(y, x, aim.content(x), torch.Generator().manual_seed(0))


def test_total_variation_both_ways():
    """A ramp from 0 to 1 across: every difference across and on the diagonals is 1 / (w - 1), down none."""
    h, w = 6, 9
    ramp = torch.linspace(0, 1, w).expand(1, 3, h, w)
    across, diagonal = 3 * h * (w - 1), 3 * (h - 1) * (w - 1)
    step = 1 / (w - 1)
    assert float(total_variation(ramp)) == pytest.approx(step * (across**0.5 + 2 * diagonal**0.5), rel=1e-4)
    assert float(total_variation(ramp, "mean")) == pytest.approx(3 * step, rel=1e-4)


def test_the_published_sum_grows_with_the_side_and_the_mean_does_not():
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tiled = noise.repeat(1, 1, 4, 4)
    assert float(total_variation(tiled)) == pytest.approx(4 * float(total_variation(noise)), rel=0.03)
    assert float(total_variation(tiled, "mean")) == pytest.approx(float(total_variation(noise, "mean")), rel=0.03)


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_a_flat_picture_varies_by_nothing_with_a_finite_gradient(kind):
    flat = torch.full((2, 3, 4, 5), 0.3, requires_grad=True)
    value = total_variation(flat, kind)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-5) and bool(flat.grad.isfinite().all())


def test_output_equal_to_content_is_no_error():
    """The published code divides 0 by 0 there."""
    x = torch.rand(1, 3, 16, 16)
    y = x.clone().requires_grad_(True)
    aim = objective([[1.0, 0, 0, 0]], against="same")
    got = losses(aim, y, x)
    aim.total(got).backward()
    assert float(got["directional"].detach()) == pytest.approx(1) and float(got["content"].detach()) == 0
    assert bool(y.grad.isfinite().all())


def test_the_right_direction_costs_nothing_and_the_opposite_two():
    x = torch.full((1, 3, 16, 16), 0.4)
    y = x.clone()
    y[:, 0] = 0.9
    step = Guide().encode_image(y) - Guide().encode_image(x)
    right, wrong = (losses(objective((sign * step).tolist()), y, x) for sign in (1, -1))
    assert [float(one["directional"]) for one in (right, wrong)] == pytest.approx([0, 2], abs=1e-4)
    assert float(right["patch"]) == 0 and float(right["calm"]) == 1, "below the threshold: no part in the step"
    assert float(wrong["patch"]) == pytest.approx(2, abs=1e-3) and float(wrong["calm"]) == 0


def test_views_below_the_threshold_get_no_gradient():
    x = torch.full((1, 3, 16, 16), 0.4)
    y = x.clone()
    y[:, 0] = 0.9
    y.requires_grad_(True)
    step = (Guide().encode_image(y.detach()) - Guide().encode_image(x) + torch.tensor([[0, 0.2, 0, 0]])).tolist()
    losses(objective(step), y, x)["patch"].backward()
    assert float(y.grad.abs().max()) == 0
    y.grad = None
    losses(objective(step, threshold=0.0), y, x)["patch"].backward()
    assert float(y.grad.abs().max()) > 0


def test_the_directional_loss_is_linear_in_the_directions_and_the_patch_loss_is_not():
    x, y = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    a, b = [0.9, -0.3, 0.1, 0.0], [-0.5, 0.8, 0.2, 0.1]
    mixed = losses(objective([a, b], (0.75, 0.25)), y, x)
    alone = [losses(objective([one]), y, x) for one in (a, b)]
    assert float(mixed["directional"]) == pytest.approx(0.75 * float(alone[0]["directional"]) +
                                                        0.25 * float(alone[1]["directional"]), abs=1e-5)
    directions = objective([a, b]).directions
    summed = (directions * torch.tensor([[0.75], [0.25]])).sum(0)
    aim = objective([a, b])
    whole = aim.content(y)[0] - aim.content(x)[0]
    assert float(mixed["directional"]) == pytest.approx(1 - float(whole[0] / whole.norm() @ summed), abs=2e-3)


def test_sides_are_in_order_whichever_is_named_the_smaller():
    assert StylePatches(smallest=0.5, largest=0.3).sides == StylePatches(smallest=0.3, largest=0.5).sides == (0.3, 0.5)
