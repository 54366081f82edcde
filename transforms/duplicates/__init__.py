"""Duplicates: pairs whose pictures are the same, or nearly, by named methods."""

from transforms.duplicates.hashes import by_file, by_phash
from transforms.duplicates.rules import DuplicateRules
from transforms.duplicates.vectors import by_vectors, by_vectors_in_clusters

__all__ = ["DuplicateRules", "by_file", "by_phash", "by_vectors", "by_vectors_in_clusters"]
