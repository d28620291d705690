"""The losses that BLIP is trained by and that transformers' classes lack: ITC with several positives, hard negatives, ITM.

    ITC   pictures f_i, texts g_j, unit vectors: soft cross-entropy of f·g/τ both ways, target 1/|P_i| on what fits (P); texts
          that are labelled false of a picture are among its candidates, and teach the vectors what tells the two apart
    ITM   does text j fit picture i?  cross-entropy over two, of positives and negatives

Li et al. 2021 (ALBEF), section 3.2; Li et al. 2022 (BLIP), section 3.2; false texts in ITC: Yuksekgonul et al. 2023, "When and
why vision-language models behave like bags-of-words", arXiv:2210.01936, section 4. Without the momentum model and its queue:
they are for tens of thousands of pairs. What fits is told, not assumed: the same picture's other texts are positives, a pair
that is labelled as not matching is a negative of both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.models.blip import TEMPERATURE, BLIPNet


def itc_loss(image: Tensor, text: Tensor, fits: Tensor, temperature: Tensor | float) -> Tensor:
    """Contrastive loss in nats of unit vectors (B, D) and (T, D); `fits` (B, T) bool. A row or a column in which nothing fits
    does not count."""
    logits = image @ text.T / temperature
    return (_soft_cross_entropy(logits, fits) + _soft_cross_entropy(logits.T, fits.T)) / 2


def _soft_cross_entropy(logits: Tensor, fits: Tensor) -> Tensor:
    share = fits.float() / fits.sum(1, keepdim=True).clamp_min(1)
    rows = fits.any(1).sum().clamp_min(1)
    return -(share * F.log_softmax(logits, dim=1)).sum() / rows


def hard_negatives(logits: Tensor, fits: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each row one column that does not fit, drawn by softmax(logits): (rows, columns). Where all fits there is none."""
    weights = logits.detach().float().cpu().nan_to_num()  # a NaN ends the run by its loss, not by a draw
    weights = weights.masked_fill(fits.cpu(), -torch.inf)
    rows = (~fits.cpu()).any(1).nonzero().squeeze(1)
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(weights[rows].softmax(1), 1, generator=rng).squeeze(1)


def itm_loss(logits: Tensor, match: Tensor) -> Tensor:
    """Cross-entropy of (N, 2) logits, index 1 for a match; positives and negatives weigh the same, however many there are, so
    that the probability is that of a world where one pair in two matches."""
    each = F.cross_entropy(logits, match.long(), reduction="none")
    means = [each[match == value].mean() for value in (True, False) if (match == value).any()]
    return torch.stack(means).mean()


def matching_losses(net: BLIPNet, states: Tensor, ids: Tensor, mask: Tensor, owner: Tensor, match: Tensor, fits: Tensor,
                    rng: torch.Generator) -> dict[str, Tensor]:
    """ITC and ITM of a batch of labelled pairs, and the share of the labelled pairs that ITM told right.

    states  (B, P, C) of the pictures.  ids, mask  (T, L) of the texts.  owner  (T,) each text's picture.  match  (T,) bool: is
    the pair one that matches?  fits  (B, T) bool: which texts are known to fit which pictures.
    ITC sees every text. ITM sees every pair, and for each text of a matching pair a picture that does not fit though the
    vectors are close; likewise a text for each picture that no labelled pair gives one.
    """
    image, true = net.image_vectors(states), match.nonzero().squeeze(1)
    text = net.text_vectors(ids, mask)
    itc, fits = itc_loss(image, text, fits, net.temperature), fits[:, true]
    closeness = image.detach() @ text[true].detach().T / net.temperature.detach()
    denied = torch.zeros(len(states), dtype=torch.bool, device=states.device).index_fill(0, owner[~match], True)
    lacking = (~denied).nonzero().squeeze(1)
    row, text_of = (t.to(states.device) for t in hard_negatives(closeness[lacking], fits[lacking], rng))
    column, picture_of = (t.to(states.device) for t in hard_negatives(closeness.T, fits.T, rng))
    pictures = torch.cat([owner, lacking[row], picture_of])
    texts = torch.cat([torch.arange(len(ids), device=states.device), true[text_of], true[column]])
    label = torch.cat([match, match.new_zeros(len(pictures) - len(match))])
    logits = net.match_logits(states[pictures], ids[texts], mask[texts])
    right = (logits.detach().argmax(1) == label.long()).float()
    return {"itc": itc, "itm": itm_loss(logits, label), "matched": right[:len(match)].mean()}


def clamp_temperature(net: BLIPNet) -> None:
    """Keep τ in its bounds, after a step of the optimiser."""
    net.temperature.data.clamp_(*TEMPERATURE[1:])
