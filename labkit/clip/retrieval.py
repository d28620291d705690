"""Retrieval between texts and images: who is found at which rank, dense or streamed.

    R@k = 1/N Σᵢ [rank of i's own partner ≤ k]        (texts → images: rows; images → texts: columns)

The matrix C = T Iᵀ (rows are texts, columns images) of 10,000 × 10,000 takes 400 MB, its sorted indices twice
that. `streamed` looks at it in blocks, keeps the k best of each row and column and counts who stands before
the partner.

Ties: two cosines within `TIE` of each other are equal, since fp32 sums of unit vectors differ by about 1e-7
with the order of summation. A model that answers everything alike would reach R@1 = 100 % if ties were won;
so by default they are lost (`ties="worst"`). "mean" takes the middle rank and the expected recall of a fair
draw, "best" wins them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

TIE = 1e-6
DIRECTIONS = ("text_to_image", "image_to_text")
TIES = ("worst", "mean", "best")


@dataclass(frozen=True)
class Standing:
    """Per query, how many others stand before its partner (`ahead`, (N,) int64) and level with it (`tied`,
    (N,))."""

    ahead: Tensor
    tied: Tensor

    def ranks(self, ties: str = "worst") -> Tensor:
        """Ranks from 1, (N,) float64 (halves occur with ties="mean")."""
        _choice("ties", ties, TIES)
        share = {"worst": 1.0, "mean": 0.5, "best": 0.0}[ties]
        return 1 + self.ahead.double() + share * self.tied.double()

    def recall(self, k: int, ties: str = "worst") -> float:
        """The share of queries in [0, 1] whose partner is among the first k; "mean" expects a fair draw among
        ties."""
        _positive("k", k)
        _choice("ties", ties, TIES)
        if ties == "mean":
            return float(((k - self.ahead).double() / (1 + self.tied)).clamp(0, 1).mean())
        return float((self.ranks(ties) <= k).double().mean())


def standings(cosine: Tensor) -> tuple[Standing, Standing]:
    """Of a square matrix (N, N) whose diagonal holds the pairs: rows among columns, columns among rows."""
    own = cosine.diagonal()
    out = []
    for matrix in (cosine, cosine.T):
        ahead = (matrix > own[:, None] + TIE).sum(1)
        level = (matrix >= own[:, None] - TIE).sum(1)
        out.append(Standing(ahead, level - ahead - 1))
    return out[0], out[1]


class Ranked(ABC):
    """What dense and streamed results share: ranks and R@k, where texts[i] belongs to images[i].

    Both raise ValueError where there are not as many texts as images.
    """

    @abstractmethod
    def _standings(self) -> tuple[Standing, Standing]:
        """Texts among images, images among texts."""

    def ranks(self, direction: str = "text_to_image", ties: str = "worst") -> Tensor:
        """Rank from 1 of each text's own image among all images, or with "image_to_text" the other way: (N,)
        float64."""
        _choice("direction", direction, DIRECTIONS)
        return self._standings()[DIRECTIONS.index(direction)].ranks(ties)

    def recall(self, k: int = 1, ties: str = "worst") -> dict[str, float]:
        """R@k in [0, 1] both ways: {"text_to_image": …, "image_to_text": …}."""
        return {d: s.recall(k, ties) for d, s in zip(DIRECTIONS, self._standings(), strict=True)}

    def recalls(self, ks: tuple[int, ...] = (1, 5, 10), ties: str = "worst") -> pd.DataFrame:
        """R@k for several k: a row per k ("R@1", …), a column per direction."""
        return pd.DataFrame([self.recall(k, ties) for k in ks], index=[f"R@{k}" for k in ks])


@dataclass(frozen=True)
class Top:
    """The best of each query, best first, the smaller index first where cosines are equal: `indices` (Q, k)
    int64 from 0 and `cosines` (Q, k) fp32. k is less than was asked for where there are fewer to choose
    from."""

    indices: Tensor
    cosines: Tensor


@dataclass(frozen=True)
class StreamedResult(Ranked):
    """The k best `images` of each text, the k best `texts` of each image, and with `ranks` and `recall` the
    standing of the pairs. All on the CPU."""

    images: Top
    texts: Top
    pairs: tuple[Standing, Standing] | None = None

    def _standings(self) -> tuple[Standing, Standing]:
        if self.pairs is None:
            raise ValueError(unpaired(len(self.images.indices), len(self.texts.indices)))
        return self.pairs


@torch.no_grad()
def streamed(text_emb: Tensor, image_emb: Tensor, k: int = 10, block: int = 1024) -> StreamedResult:
    """The k best both ways and the standing of the pairs, without the whole matrix.

    text_emb (N, D) and image_emb (M, D) are unit vectors on one device. Beside them it needs about
    24 · block² + 24 · k · (N + M) bytes (25 MB + 5 MB for 10,000 × 10,000). `ranks` and `recall` of the
    result exist where N = M. Raises ValueError on vectors that are not of length 1 (NaN among them), on
    differing D, and on k or block below 1.
    """
    _positive("k", k)
    _positive("block", block)
    for name, emb in (("text_emb", text_emb), ("image_emb", image_emb)):
        _check_unit(name, emb)
    if text_emb.shape[1] != image_emb.shape[1]:
        raise ValueError(
            f"text_emb, image_emb: vectors of {text_emb.shape[1]} and {image_emb.shape[1]} numbers "
            "cannot be compared; encode both with the same model"
        )
    n, m, device = len(text_emb), len(image_emb), text_emb.device
    rows, columns = _Best(n, min(k, m), device), _Best(m, min(k, n), device)
    paired = n == m
    own = (
        torch.cat([(t.float() * i.float()).sum(1) for t, i in zip(text_emb.split(block), image_emb.split(block), strict=True)])
        if paired
        else None
    )
    # [direction, (ahead, ahead or level), query]
    counts = torch.zeros(2, 2, n, dtype=torch.int64, device=device) if paired else None
    for a in range(0, n, block):
        text = text_emb[a : a + block].float()
        for b in range(0, m, block):
            cosine = text @ image_emb[b : b + block].float().T
            if paired and a == b:
                cosine.diagonal().copy_(own[a : a + block])  # the pair is level with itself to the last bit
            rows.see(cosine, a, b)
            columns.see(cosine.T.contiguous(), b, a)
            if paired:
                mine, theirs = own[a : a + block, None], own[None, b : b + block]
                for level, shift in ((0, TIE), (1, -TIE)):
                    compare = torch.gt if level == 0 else torch.ge
                    counts[0, level, a : a + block] += compare(cosine, mine + shift).sum(1)
                    counts[1, level, b : b + block] += compare(cosine, theirs + shift).sum(0)
    pairs = None
    if paired:
        text_side, image_side = (Standing(c[0], c[1] - c[0] - 1) for c in counts.cpu())
        pairs = (text_side, image_side)
    return StreamedResult(rows.top(), columns.top(), pairs)


class _Best:
    """The k best of each of n queries, merged block by block; blocks come in rising order of the index."""

    def __init__(self, n: int, k: int, device: torch.device):
        self.k = k
        self.values = torch.full((n, k), -torch.inf, device=device)
        self.indices = torch.full((n, k), -1, dtype=torch.int64, device=device)

    def see(self, values: Tensor, query: int, offset: int) -> None:
        """Merge values (B, C) of the queries from `query` on and the candidates from `offset` on."""
        span = slice(query, query + len(values))
        best, at = top_of_rows(values, self.k)
        both = torch.cat([self.values[span], best], 1)
        names = torch.cat([self.indices[span], at + offset], 1)
        # What was seen before has smaller indices and stands first, so a stable sort keeps ties in order.
        both, order = both.sort(dim=1, descending=True, stable=True)
        self.values[span] = both[:, : self.k]
        self.indices[span] = names.gather(1, order)[:, : self.k]

    def top(self) -> Top:
        return Top(self.indices.cpu(), self.values.cpu())


def top_of_rows(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of (B, C) with their columns, (B, min(k, C)) each; equal values by rising
    column.

    torch.topk leaves open which of equal values it takes: rows where the last place is contested are sorted
    in full.
    """
    k = min(k, values.shape[1])
    best, at = values.topk(min(k + 1, values.shape[1]), dim=1)
    if best.shape[1] > k:
        contested = best[:, k - 1] == best[:, k]
        if contested.any():
            order = values[contested].sort(dim=1, descending=True, stable=True).indices
            at[contested] = order[:, : k + 1]
    at = at[:, :k].sort(dim=1).values
    best, order = values.gather(1, at).sort(dim=1, descending=True, stable=True)
    return best, at.gather(1, order)


def unpaired(texts: int, images: int) -> str:
    """The message where ranks are asked of what is not paired."""
    return f"ranks and recall need one image per text, texts[i] belonging to images[i]; got {texts} texts and {images} images"


def _check_unit(name: str, emb: Tensor) -> None:
    if emb.ndim != 2 or not len(emb):
        raise ValueError(f"{name}: shape {tuple(emb.shape)} must be (N, D) with N of at least 1")
    for part in emb.split(4096):
        far = (part.float().norm(dim=1) - 1).abs()
        if not bool((far < 1e-3).all()):
            raise ValueError(
                f"{name}: every vector must have length 1; divide by its norm first (and look for NaN if that does not help)"
            )


def _positive(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number of at least 1")


def _choice(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{name}={value!r}: use one of {', '.join(options)}")
