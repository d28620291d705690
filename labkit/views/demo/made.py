"""What a demo has made, as its page and its report read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from labkit.image import ImageError, open_upload


@dataclass
class Painted:
    """One prompt's outcome, made `by` a way, from a `sketch` where it is one of those.

    `saw` is the judge's likeliest class per attribute, `found` says which of the prompt's claims it finds, `claims` names
    them (as in "subject apple"); `before` and `after` are the CLIP scores of the first and last step, where CLIP led; `error`
    is "" if all went well.
    """

    prompt: str
    picture: Path
    strip: Path
    by: str = ""
    sketch: Path | None = None
    seconds: float = 0.0
    steps: int = 0
    before: float = float("nan")
    after: float = float("nan")
    notices: tuple[str, ...] = ()
    error: str = ""
    saw: dict[str, str] = field(default_factory=dict)
    found: dict[str, bool] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)


@dataclass
class Demo:
    """What a demo made: one `Painted` per prompt, the page, the matrix and its table; times in seconds."""

    folder: Path
    painted: list[Painted]
    seconds: float
    setup_seconds: float | None = None
    pocket: bool = True

    @property
    def missing(self) -> list[Painted]:
        """The prompts without a picture that can be opened."""
        return [p for p in self.painted if not readable(p.picture) or not readable(p.strip)]


def readable(path: Path) -> bool:
    """Whether there is a picture at the path."""
    try:
        open_upload(path)
        return True
    except ImageError:
        return False
