"""What the nearest neighbours of an item say about it: search, agreement, Shapley values, class shape, outliers."""

from curate.scorers.noise.neighbours.agreement import Agreement, knn_agreement
from curate.scorers.noise.neighbours.noise_rates import NoiseRates, estimate_noise_rates
from curate.scorers.noise.neighbours.search import Neighbours, nearest, nearest_blocks, usable

__all__ = [
    "Agreement",
    "Neighbours",
    "NoiseRates",
    "estimate_noise_rates",
    "knn_agreement",
    "nearest",
    "nearest_blocks",
    "usable",
]
