"""The study's figures: recall, intervals and differences, against numbers computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from lakehouse.training.evaluate import Encoded, measure, resampled
from lakehouse.training.report import Interval, difference, mean


def test_hand_made_vectors() -> None:
    """Three pictures on three axes; the classes of the second and third are swapped, the names are right."""
    axes = np.eye(3, dtype=np.float32)
    swapped = axes[[0, 2, 1]]
    found = measure(Encoded(pictures=axes, names=axes, classes=swapped))
    assert found["zero_shot_top1"] == pytest.approx(1 / 3)
    assert found["zero_shot_top5"] == 1
    assert found["text_to_picture_r1"] == found["picture_to_text_r1"] == 1


def test_text_to_picture_is_not_picture_to_text() -> None:
    """Both names are nearest to the first picture; each picture is nearest to its own name."""
    pictures = np.array([[1, 0], [0.6, 0.8]], np.float32)
    names = np.array([[1, 0], [0.9, 0.436]], np.float32)
    found = measure(Encoded(pictures, names, names))
    assert found["text_to_picture_r1"] == 0.5
    assert found["picture_to_text_r1"] == 1.0


def test_ties_count_against_the_model() -> None:
    equal = np.full((10, 2), 0.5**0.5, np.float32)
    assert measure(Encoded(equal, equal, equal))["zero_shot_top1"] == 0


def test_an_interval_over_seeds() -> None:
    """1 to 5: mean 3, standard error sqrt(0.5), Student's t for 4 degrees 2.776 (any table)."""
    found = Interval.of([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.half == pytest.approx(2.776 * 0.5**0.5, abs=1e-3)
    assert str(Interval(0.0123, 0.004, 5)) == "1.23 ± 0.40 %"
    with pytest.raises(ValueError, match="two"):
        Interval.of([1])


def test_differences_are_paired_by_seed() -> None:
    """Each arm varies by 40 points over seeds, the difference by none."""
    results = {
        "a": {0: {"m": 0.5}, 1: {"m": 0.9}, 2: {"m": 0.7}},
        "b": {2: {"m": 0.6}, 1: {"m": 0.8}, 0: {"m": 0.4}},
    }
    found = difference(results, "a", "b", "m")
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0, abs=1e-9)
    assert mean(results, "a", "m").half > 0.4


def test_the_bootstrap_of_a_known_share() -> None:
    """Of 400 pictures 100 are right: the normal interval of a share of 0.25 is 0.25 ± 0.0424."""
    pictures = np.eye(400, dtype=np.float32)
    classes = pictures.copy()
    classes[100:] = np.roll(pictures[100:], 1, axis=0)
    low, high = resampled(Encoded(pictures, pictures, classes))
    assert low == pytest.approx(0.25 - 0.0424, abs=0.01)
    assert high == pytest.approx(0.25 + 0.0424, abs=0.01)
