"""Means over frames with 95 % intervals over clips: frames of one clip resemble each other, so clips count."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95


class Summary(NamedTuple):
    """A mean, and how far it may be off."""

    mean: float
    half_width: float | None
    """Of the interval; None where fewer than three clips tell nothing of it."""
    clips: int


def summarize(clips: Sequence[Sequence[float]]) -> Summary | None:
    """The mean of all values, with its interval over the clips they come from; None without a finite value.

    A mean over frames of clips of unequal length is a ratio of two sums, whose variance between clips is that of
    Cochran 1977, Sampling Techniques, equation 6.9; for equal lengths it is the usual one. Infinite values and NaN are
    left out.
    """
    finite = [[value for value in values if math.isfinite(value)] for values in clips]
    finite = [values for values in finite if values]
    count = sum(map(len, finite))
    if not count:
        return None
    mean = sum(map(sum, finite)) / count
    if len(finite) < 3:
        return Summary(mean, None, len(finite))
    squares = sum((sum(values) - mean * len(values)) ** 2 for values in finite)
    error = math.sqrt(len(finite) / (len(finite) - 1) * squares) / count
    return Summary(mean, student_quantile(len(finite) - 1) * error, len(finite))


def student_quantile(freedom: int, level: float = LEVEL) -> float:
    """Half the width of the central interval of Student's distribution, within 1 % from 2 degrees of freedom on.

    The expansion about the normal quantile in powers of 1 / freedom (Abramowitz and Stegun 1964, 26.7.5).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
