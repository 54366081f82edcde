"""Scores: numbers about each pair, by named scorers."""

from transforms.scores.published import PUBLISHED, published, score_columns
from transforms.scores.scorers import NEEDS, Scorer, default_scorers, score_partition, scorers_for, scores

__all__ = [
    "NEEDS",
    "PUBLISHED",
    "Scorer",
    "default_scorers",
    "published",
    "score_columns",
    "score_partition",
    "scorers_for",
    "scores",
]
