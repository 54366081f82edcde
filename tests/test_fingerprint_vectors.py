"""Fixed test vectors: what docs/architecture.md prints, so that other programs can check themselves.

The expected numbers were computed by the plain implementation in test_fingerprint_definition.py.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.fingerprints import fingerprint


def vector(*elements: float) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.array(elements, np.float16)), len(elements))


MOMENT = pa.timestamp("us", tz="UTC")
VECTORS = {
    "int64 1": (pa.array([1], pa.int64()), "e94b82b836664dc08a22ea2cbb99e99f"),
    "int64 -1": (pa.array([-1], pa.int64()), "75c4e5103c3df607eef1d0c9adb1c8b3"),
    "int64 NULL": (pa.array([None], pa.int64()), "692112c96b4a46afa0e4b27a1abaed73"),
    "bool true": (pa.array([True], pa.bool_()), "e94b82b836664dc08a22ea2cbb99e99f"),
    "float32 0.5": (pa.array([0.5], pa.float32()), "aa938fffebebaf5c75f016b8ab78a04f"),
    "float32 -0.0": (pa.array([-0.0], pa.float32()), "5f8b109e49f022b34f0564a69b0ce250"),
    "float64 NaN": (pa.array([float("nan")], pa.float64()), "406fc62458af47fc7d0efc6ccd4e621b"),
    "string ''": (pa.array([""], pa.string()), "f2557dfcc4e8fe5228df63b7cc57c3cb"),
    "string 'Grüße'": (pa.array(["Grüße"], pa.string()), "da3fec0126b91d429bb78c8f8112d878"),
    "binary 00 ff": (pa.array([b"\x00\xff"], pa.binary()), "a74d196969c4b66d1e814954d6a1127d"),
    "large_binary 'picture'": (pa.array([b"picture"], pa.large_binary()), "3d78c328000dc8a6f60f7afab3ae3fa1"),
    "timestamp 2024-08-30T00:00:00.000001Z": (
        pa.array([1_724_976_000_000_001], MOMENT),
        "adf6b0d36cbd518ce5c3ec26fe70089e",
    ),
    "list<string> ['noai', NULL]": (
        pa.array([["noai", None]], pa.list_(pa.string())),
        "0c8000f11f0c6647db31c734299e88a2",
    ),
    "list<string> []": (pa.array([[]], pa.list_(pa.string())), "f2557dfcc4e8fe5228df63b7cc57c3cb"),
    "float16[2] (1, -0.0)": (vector(1, -0.0), "a1b3bb2d44db8c1aa6fca6ff1a0085b1"),
}


@pytest.mark.parametrize("name", list(VECTORS))
def test_one_cell(name: str) -> None:
    array, expected = VECTORS[name]
    assert f"{fingerprint(pa.table({'c': array})).whole:032x}" == expected


def test_two_rows_of_two_cells() -> None:
    table = pa.table({"id": pa.array([1, 2], pa.int64()), "text": ["a", None]})
    assert f"{fingerprint(table).whole:032x}" == "7eb0c45b1e71c175d9a280e935474b8d"
