"""The mean of figures of which some are not defined."""

from __future__ import annotations

import math
from collections.abc import Iterable


def mean_of_defined(values: Iterable[float]) -> float:
    """The mean without those that are NaN; NaN where none is left."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
