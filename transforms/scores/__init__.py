"""Scores: numbers about each pair, by named scorers."""

from transforms.scores.scorers import NEEDS, Scorer, default_scorers, score_partition, scorers_for, scores

__all__ = ["NEEDS", "Scorer", "default_scorers", "score_partition", "scorers_for", "scores"]
