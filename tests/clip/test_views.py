"""Views: exact homographies, the same picture as cropping, warping and resizing one by one, chance from one generator."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.functional import InterpolationMode, perspective

from labkit.clip.views import Views, draw_views, homographies, look
from tests.conformance import assert_same, global_randomness

WHOLE = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def drawn(n=5, pictures=2, size=(48, 64), sides=(0.3, 0.6), perspective=0.5, seed=0, black=True) -> Views:
    return draw_views(n, pictures, *size, sides, perspective, torch.Generator().manual_seed(seed), black)


def test_a_homography_takes_the_four_points_where_they_belong():
    source = WHOLE * (1 - 0.5 * torch.rand(7, 4, 2, generator=torch.Generator().manual_seed(1)))
    h = homographies(source, WHOLE.expand_as(source))
    carried = torch.cat([source, torch.ones(7, 4, 1)], -1) @ h.transpose(1, 2)
    assert torch.allclose(carried[..., :2] / carried[..., 2:], WHOLE.expand_as(source), atol=1e-5)
    assert torch.allclose(homographies(WHOLE, WHOLE), torch.eye(3), atol=1e-6)


def test_without_perspective_a_view_is_the_resized_crop():
    """A crop on whole pixels, of 16 × 16 of a picture of 64 × 48: its inside, as its edge reads neighbours in the picture."""
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(2))
    top, left, side = 10, 30, 16
    centre = torch.tensor([[[(left + side / 2) / 64 * 2 - 1, (top + side / 2) / 48 * 2 - 1]]])
    views = Views(torch.eye(3).view(1, 1, 3, 3), torch.tensor([[[side / 64, side / 48]]]), centre, True)
    seen = look(x, views, 32)
    plain = F.interpolate(x[..., top:top + side, left:left + side], (32, 32), mode="bilinear", align_corners=False)
    assert seen.shape == (1, 3, 32, 32) and torch.allclose(seen[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2], atol=1e-5)


def test_perspective_is_torchvisions():
    """Of a smooth picture; theirs counts pixels' centres where ours counts their edges, which is half a pixel."""
    y, x = torch.meshgrid(torch.linspace(0.2, 0.8, 96), torch.linspace(0.1, 0.9, 96), indexing="ij")
    picture = torch.stack([x, y, (x + y) / 2])[None]
    pulled = torch.tensor([[-0.6, -0.9], [0.8, -0.7], [0.9, 0.6], [-0.9, 0.95]])
    views = Views(homographies(pulled, WHOLE).view(1, 1, 3, 3), torch.ones(1, 1, 2), torch.zeros(1, 1, 2), True)
    ends = [[float((v + 1) / 2 * 95) for v in point] for point in pulled]
    theirs = perspective(picture, [[0, 0], [95, 0], [95, 95], [0, 95]], ends, InterpolationMode.BILINEAR, [0.0, 0.0, 0.0])
    apart = (look(picture, views, 96) - theirs).abs()
    assert float(apart.median()) < 0.01 and float((apart > 0.05).float().mean()) < 0.04, "apart at the black edge only"


def test_what_is_black_is_outside_the_crop():
    x = torch.ones(1, 3, 64, 64)
    black, filled = look(x, drawn(8, 1, (64, 64)), 32), look(x, drawn(8, 1, (64, 64), black=False), 32)
    assert float((black == 0).float().mean()) > 0.05 and torch.allclose(filled, torch.ones(()))
    assert float((look(x, drawn(8, 1, (64, 64), perspective=0.0), 32) == 0).float().mean()) == 0


def test_views_stay_in_the_picture_and_are_square_in_pixels():
    views = drawn(500, 1, size=(20, 300), sides=(0.4, 0.65))
    assert bool(((views.centre.abs() + views.scale) <= 1 + 1e-6).all())
    side = views.scale * torch.tensor([300.0, 20.0])
    assert torch.allclose(side[..., 0], side[..., 1]) and 8 <= float(side.min()) and float(side.max()) <= 13


def test_views_of_a_batch_are_those_of_each_picture():
    views, x = drawn(), torch.rand(2, 3, 48, 64)
    seen = look(x, views, 16)
    for k in range(2):
        one = Views(views.homography[k:k + 1], views.scale[k:k + 1], views.centre[k:k + 1], True)
        assert torch.allclose(look(x[k:k + 1], one, 16), seen[5 * k:5 * k + 5], atol=1e-6)
    with pytest.raises(ValueError, match="drawn for 2"):
        look(x[:1], views, 16)


def test_one_generator_feeds_everything():
    before = global_randomness()
    a, b = drawn(), drawn(seed=1)
    assert_same(global_randomness(), before)
    assert torch.equal(a.homography, drawn().homography) and not torch.equal(a.scale, b.scale)


def test_a_small_view_of_a_large_picture_does_not_alias():
    """Stripes of one pixel are grey from afar."""
    stripes = (torch.arange(512) % 2).float().expand(1, 3, 512, 512)
    seen = look(stripes, drawn(6, 1, (512, 512), (0.9, 1.0), 0.0), 32)
    assert float((seen - 0.5).abs().max()) < 0.02
