"""What can be wrong with weights, in words."""


import os

from labkit.text import plain


class WeightsError(RuntimeError):
    """Weights that cannot be used; the message says why and what to do."""


class WeightsNotFound(WeightsError):
    """Weights that are not at hand and could not be fetched."""


class WeightsMismatch(WeightsError):
    """Weights of another architecture than the model's."""


def shown(path: str | os.PathLike) -> str:
    """A path as messages name it, whole."""
    return plain(os.fspath(path), 1000)
