"""Scores: numbers about each pair, by named scorers."""

from transforms.scores.called import Call, ScorerError
from transforms.scores.published import PUBLISHED, published, score_columns
from transforms.scores.scorers import (
    NEEDS,
    Scorer,
    default_scorers,
    further_scorers,
    score_partition,
    scorers_for,
    scores,
)

__all__ = [
    "NEEDS",
    "PUBLISHED",
    "Call",
    "Scorer",
    "ScorerError",
    "default_scorers",
    "further_scorers",
    "published",
    "score_columns",
    "score_partition",
    "scorers_for",
    "scores",
]
