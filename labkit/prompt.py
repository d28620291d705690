r"""The weighted-prompt grammar, as VQGAN+CLIP notebooks made it customary (Crowson, 2021).

    prompt = text [":" weight [":" stop]]    prompts = prompt *("|" prompt)    story = prompts *("^" prompts)

    a red apple:2 | blurry:-0.5             the apple counts twice, blur repels
    a calm sea ^ a storm at sea             the prompt changes during the run
    "the time: 12:30" | C:\me\photo.png     quotes protect : | ^; paths and URLs need none

A `:number` at the end is a weight, or weight and stop; any other colon is text. Double quotes protect `:`,
`|` and `^` wherever they stand. They fall away when they enclose a prompt's whole text, and stay where they
are part of it (`a sign that says "open"`). Inside quotes `\"` is a quotation mark; other backslashes are text.
Letters are composed first (Unicode's normal form C), so that é is one word however it was typed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from labkit.text import TextError, read_words

MAX_CHARACTERS = 2000
MAX_PROMPTS = 20
MAX_WEIGHT = 1000.0
MIN_SUM = 1e-3

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


class PromptError(ValueError):
    """A prompt that cannot be meant; the message quotes the input, says where, and what to write instead."""


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    text    what to steer towards (or from); not blank; kept in normal form C.
    weight  -1000 … 1000; negative repels; 0 changes nothing.
    stop    the loss beyond which the prompt pulls no more; -inf: it never stops pulling.
    """

    text: str
    weight: float = 1.0
    stop: float = -math.inf

    def __post_init__(self):
        object.__setattr__(self, "text", _words(self.text, "text"))
        if not self.text.strip():
            raise PromptError(f"text: is empty in {self.text!r}; say what to paint")
        object.__setattr__(self, "weight", float(self.weight))
        object.__setattr__(self, "stop", float(self.stop))
        if not abs(self.weight) <= MAX_WEIGHT:
            raise PromptError(f"weight: must be from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}; got {self.weight}")
        if math.isnan(self.stop) or self.stop == math.inf:
            raise PromptError(f"stop: must be a finite number, or -inf for none; got {self.stop}")


def parse(text: str) -> tuple[Prompt, ...]:
    """The prompts of a text, 1 to 20 of them. Raises `PromptError`."""
    text = _checked(text)
    stages = _split(text, "^")
    if len(stages) > 1:
        raise PromptError(f"{_quote(text)}: character {stages[1][0]}: '^' changes the prompt during the run; "
                          f"here one serves for all of it, so put text with a '^' in double quotes")
    return _parse_stage(text, 0, text)


def parse_story(text: str) -> tuple[tuple[Prompt, ...], ...]:
    """The stages of a story, each as `parse` gives it; a text without `^` has one. Raises `PromptError`."""
    text = _checked(text)
    return tuple(_parse_stage(text, start, stage) for start, stage in _split(text, "^"))


def format_prompts(prompts: tuple[Prompt, ...]) -> str:
    """The text that `parse` reads as exactly these prompts. Raises `PromptError` where there is none."""
    text = " | ".join(_format(p) for p in prompts)
    parse(text)
    return text


def _format(prompt: Prompt) -> str:
    tail = "" if prompt.weight == 1 and prompt.stop == -math.inf else f":{_shortest(prompt.weight)}"
    if prompt.stop != -math.inf:
        tail += f":{_shortest(prompt.stop)}"
    bare = prompt.text + tail
    if _reads_as(bare, prompt):
        return bare
    # Only backslashes before a quotation mark are doubled, so that Windows paths stay as they are.
    inner = re.sub(r'(\\*)"', r'\1\1\\"', prompt.text)
    inner = re.sub(r"(\\+)\Z", r"\1\1", inner)
    return f'"{inner}"{tail}'


def _reads_as(text: str, prompt: Prompt) -> bool:
    try:
        whole = len(_split(text, "|")) == len(_split(text, "^")) == 1
        return whole and _read(text) == (prompt.text, prompt.weight, prompt.stop)
    except PromptError:
        return False


def _shortest(number: float) -> str:
    return repr(number).removesuffix(".0")


def _checked(text: str) -> str:
    text = _words(text, "prompt")
    if len(text) > MAX_CHARACTERS:
        raise PromptError(f"{_quote(text)}: has {len(text)} characters; use at most {MAX_CHARACTERS}")
    return text


def _words(text: str, what: str) -> str:
    try:
        return read_words(text, what)
    except TextError as error:
        raise PromptError(str(error)) from None


def _parse_stage(text: str, start: int, stage: str) -> tuple[Prompt, ...]:
    parts = _split(stage, "|")
    if len(parts) > MAX_PROMPTS:
        where = start + parts[MAX_PROMPTS][0] + 1
        raise PromptError(f"{_quote(text)}: character {where}: prompt {MAX_PROMPTS + 1} begins here, and "
                          f"{MAX_PROMPTS} are the most; drop some, or put text with a '|' in double quotes")
    prompts = []
    for offset, part in parts:
        where = f"{_quote(text)}: character {start + offset + len(part) - len(part.lstrip()) + 1}"
        if not part.strip():
            raise PromptError(f"{where}: a prompt is empty; write text, or drop the '|' or '^' beside it")
        try:
            prompts.append(Prompt(*_read(part)))
        except PromptError as error:
            raise PromptError(f"{where}: {_quote(part.strip())}: {error}") from None
    total = math.fsum(p.weight for p in prompts)
    if abs(total) < MIN_SUM:
        raise PromptError(f"{_quote(text)}: character {start + 1}: weights of {_quote(stage.strip())} sum "
                          f"to {total:g}, so nothing would be painted; change one so that they do not cancel")
    return tuple(prompts)


def _split(text: str, mark: str) -> list[tuple[int, str]]:
    """(offset, part) of the parts between marks that stand outside quotes."""
    parts, start, i = [], 0, 0
    while i < len(text):
        if text[i] == '"':
            i = _closing(text, i)
        elif text[i] == mark:
            parts.append((start, text[start:i]))
            start = i + 1
        i += 1
    return [*parts, (start, text[start:])]


def _closing(text: str, opening: int) -> int:
    """Index of the mark that closes the one at `opening`: the next after an even run of backslashes."""
    i = opening + 1
    while (i := text.find('"', i)) >= 0:
        before = text[opening + 1 : i]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return i
        i += 1
    raise PromptError(f'{_quote(text)}: character {opening + 1}: this double quote is not closed; close it, '
                      f'or write \\" within a quoted text: "a 12\\" pizza"')


def _read(part: str) -> tuple[str, float, float]:
    """(text, weight, stop) of one prompt."""
    rest, numbers = part.strip(), []
    while len(numbers) < 2:
        before, colon, tail = rest.rpartition(":")
        tail = tail.strip()
        if colon and _NOT_FINITE.fullmatch(tail) or _NUMBER.fullmatch(tail) and math.isinf(float(tail)):
            raise PromptError(f"{_quote(tail)} is no finite number; give one as weight or stop, or put text "
                              f"that ends in ':{tail}' in double quotes")
        if not colon or not _NUMBER.fullmatch(tail):
            break
        rest, numbers = before.strip(), [float(tail), *numbers]
    if rest.startswith('"') and _closing(rest, 0) == len(rest) - 1:
        rest = re.sub(r'(\\*)\1\\"', r'\1"', rest[1:-1])
        rest = re.sub(r"(\\+)\1\Z", r"\1", rest)
    return (rest, *numbers, *(1.0, -math.inf)[len(numbers) :])


def _quote(text: str, most: int = 120) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
