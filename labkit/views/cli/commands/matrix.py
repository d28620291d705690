"""How near texts are to pictures: matrix --texts "a dog" "a cat" --images a.png b.png"""

from labkit.clip.similarity import SimilarityMatrix
from labkit.views.cli.measuring import run_measure


def main(args: list[str]) -> int:
    """`labkit matrix --texts … --images …`."""
    return run_measure(args, SimilarityMatrix, "matrix")
