"""Which thresholds of the clustering are tried on validation images. Loads no torch."""

from __future__ import annotations

from itertools import product

from im2im_embedseg.config import ClusteringConfig

SEED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FOREGROUND = (0.3, 0.4, 0.5, 0.6)


def thresholds(config: ClusteringConfig) -> list[dict[str, float]]:
    """Pairs of thresholds on a grid around one half."""
    if not config.tune:
        return []
    return [
        {"seed_threshold": seed, "foreground_threshold": foreground} for seed, foreground in product(SEED, FOREGROUND)
    ]
