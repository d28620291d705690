"""What can be wrong with weights, in words."""


import os


class WeightsError(RuntimeError):
    """Weights that cannot be used; the message says why and what to do."""


class WeightsNotFound(WeightsError):
    """Weights that are not at hand and could not be fetched."""


class WeightsMismatch(WeightsError):
    """Weights of another architecture than the model's."""


def plain(value: object, longest: int = 80) -> str:
    """A stranger's words on one line, fit for a terminal."""
    text = str(value)[: longest + 1]
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def shown(path) -> str:
    """A path as messages name it, whole."""
    return plain(os.fspath(path), 1000)
