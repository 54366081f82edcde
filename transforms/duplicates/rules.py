"""What counts as the same picture."""

from __future__ import annotations

from dataclasses import dataclass

#: Cosine of image vectors from which on two pictures are one: clip-retrieval's `get_non_uniques`
COSINE = 0.94


@dataclass(frozen=True)
class DuplicateRules:
    """Numbers of the methods; a method's own are in its stage's fingerprint.

    `phash_distance`: bits of 64 in which the perceptual hashes of one picture may differ; as for the lists of
    `transforms.downloads.rules.HashLists`.
    `cosine`: of image vectors, see COSINE.
    """

    phash_distance: int = 4
    cosine: float = COSINE

    def __post_init__(self) -> None:
        if not 0 <= self.phash_distance <= 15:
            raise ValueError(f"phash_distance = {self.phash_distance}: expected 0 to 15 of 64 bits")
        if not 0 < self.cosine <= 1:
            raise ValueError(f"cosine = {self.cosine}: expected a number above 0, at most 1")
