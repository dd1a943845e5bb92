"""How far can a score over THEval's metrics agree with people? Bounds from what is published.

    python benchmarks/score_agreement.py

How people ranked the 17 systems of THEval's leaderboard is not published, but how far some scores agree with them is.
Ranks that are centred and have length 1 are unit vectors, and Spearman's correlation is their inner product. The
people's vector has known products with the vectors of the published scores, so its part in their span is known, and
so is the length of the rest. The product with the vector of another score therefore lies between two bounds, which
the published correlations prove and which no further assumption narrows.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from expnet.cli import guarded
from expnet.errors import DataError
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.closeness import THEVAL_PARTS, closeness_score, relative_closeness
from shared.theval_leaderboard import AGREEMENT, PUBLISHED, REAL, published_values

Ranks = NDArray[np.float64]
IMAGE_QUALITY = THEVAL_PARTS[:3]
"""What needs networks of image quality."""
HEAD = "head_motion_dynamics"
"""What needs FaceXFormer."""


def unit_ranks(scores: Collection[float]) -> Ranks:
    """Return the ranks of the systems (S,), centred and of length 1."""
    ranks = rankdata(list(scores))
    centred = ranks - ranks.mean()
    return np.asarray(centred / np.linalg.norm(centred), np.float64)


def arithmetic(system: str, parts: Sequence[str]) -> float:
    """Return the mean closeness of some parts of a published system, THEval's score if they are all."""
    values = published_values(system)
    return float(np.mean([relative_closeness(values[part], REAL[part]) for part in parts]))


def geometric(system: str, parts: Sequence[str]) -> float:
    """Return expnet's score over some parts of a published system."""
    return closeness_score(published_values(system), REAL, parts)


def over_systems(score: Callable[[str, Sequence[str]], float], parts: Sequence[str]) -> Ranks:
    """Return the unit ranks of the published systems by a score (S,)."""
    return unit_ranks([score(system, parts) for system in PUBLISHED])


def agreement_bounds(ranks: Ranks, known: Mapping[tuple[str, ...], float]) -> tuple[float, float]:
    """Return the smallest and the largest correlation with people that the known ones allow.

    Args:
        ranks: Unit ranks of the systems by the score that is asked about (S,).
        known: Correlation with people of the mean closeness of some parts, by these parts.

    Raises:
        DataError: No ranking has all these correlations.
    """
    basis = np.stack([over_systems(arithmetic, parts) for parts in known])  # (K, S)
    correlations = np.array(list(known.values()))
    gram = basis @ basis.T
    people = np.linalg.solve(gram, correlations) @ basis  # the part in the span, (S,)
    rest = 1.0 - people @ people
    if rest < 0:
        raise DataError(f"no ranking of {len(ranks)} systems has these correlations: their span alone has more")
    outside = ranks - np.linalg.solve(gram, basis @ ranks) @ basis
    margin = np.sqrt(rest) * np.linalg.norm(outside)
    return float(ranks @ people - margin), float(ranks @ people + margin)


def rows() -> list[list[str]]:
    """Return one row a score: its agreement with THEval's, and the bounds of that with people."""
    theval = over_systems(arithmetic, THEVAL_PARTS)
    meshes = tuple(part for part in THEVAL_PARTS if part not in (*IMAGE_QUALITY, HEAD))
    chosen = {
        "all eight": THEVAL_PARTS,
        "the five of motion": tuple(part for part in THEVAL_PARTS if part not in IMAGE_QUALITY),
        "the four of lips and brows": meshes,
        **{f"{part.replace('_', ' ')} alone": (part,) for part in meshes},
    }
    found = []
    for name, parts in chosen.items():
        for kind, score in (("mean", arithmetic), ("geometric mean", geometric)):
            if len(parts) == 1 and kind != "mean":
                continue  # the same ranks
            ranks = over_systems(score, parts)
            low, high = agreement_bounds(ranks, AGREEMENT)
            bounds = f"{low:.2f}" if high - low < 1e-3 else f"{low:.2f} to {high:.2f}"
            found.append([name, "" if len(parts) == 1 else kind, f"{ranks @ theval:.2f}", bounds])
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    headings = ["closeness of", "aggregated by", "with THEval's score", "with people"]
    print(markdown_table(headings, rows(), align="llrr"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
