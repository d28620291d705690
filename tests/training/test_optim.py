"""What trainings share besides the loop: schedules and averages."""

import pytest
import torch
from torch import nn

from labkit.training.optim import average, cosine, update_average


def test_cosine_warms_up_and_falls_to_a_fiftieth():
    rates = [cosine(i, 100, 2.0, 10) for i in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert [rates[k] for k in (10, 55, 100)] == pytest.approx([2, 2 * (0.02 + 0.98 / 2), 0.04])
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_average_begins_at_the_model_follows_slowly_and_copies_statistics():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    averaged = average(model, decay=0.5)
    values = []
    for k in range(200):
        with torch.no_grad():
            model[0].weight.fill_(0.0 if k == 0 else 1.0)
            model[1].running_mean.fill_(k)
        update_average(averaged, model)
        values.append(float(averaged.module[0].weight))
    assert values[0] == 0 and 0 < values[1] < 1 and all(a <= b for a, b in zip(values, values[1:], strict=False))
    assert values[-1] == pytest.approx(1, abs=1e-3)
    assert float(averaged.module[1].running_mean) == 199
    kept = [(1 - after) / (1 - before) for before, after in zip(values[:12], values[1:12], strict=False)]
    assert kept == pytest.approx([min(0.5, (1 + n) / (10 + n)) for n in range(1, 12)], rel=0.02)
    assert not any(p.requires_grad for p in averaged.parameters())
