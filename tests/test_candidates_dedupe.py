"""The first seen of equal pairs stays, whatever the partitioning, the cluster and the timing."""

from collections.abc import Iterator

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from crawl_units import RULES, WAT, counts, data, drops, units
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import columns
from transforms.candidates import SCHEMA, UNITS, candidates, extract, first_seen, keys

FILES = [
    ("wat/repaired", WAT / "cc-main-2016-50.repaired.warc.wat.gz", "wat", 0),
    ("wat/broken", WAT / "cc-main-2016-50.broken.warc.wat.gz", "wat", 1),
    ("warc/archive", WAT / "archive-org-2008.warc.gz", "warc", 2),
    ("warc/whirlwind", WAT / "whirlwind.warc.gz", "warc", 3),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def frames(parts: list[pd.DataFrame], schema: pa.Schema) -> dd.DataFrame:
    return dd.from_map(lambda i: parts[i], range(len(parts)), meta=columns.meta(schema))


def known(ids: list[int]) -> dd.DataFrame:
    table = pa.table({"sample_id": pa.array(ids, pa.int64())})
    return dd.from_pandas(columns.to_pandas(table), npartitions=2, sort=False)


def rows(pairs: list[tuple[int, int, str, str]]) -> list[pd.DataFrame]:
    """A partition for each unit of (order, position, url, text), as extraction makes them."""
    parts = []
    for order in sorted({pair[0] for pair in pairs}):
        own = [pair for pair in pairs if pair[0] == order]
        urls, texts = pa.array([pair[2] for pair in own]), pa.array([pair[3] for pair in own])
        made = {
            "sample_id": keys.sample_ids(urls, texts),
            "url": urls,
            "text": texts,
            "url_id": keys.url_ids(urls),
            "unit": pa.array([f"unit {order}"] * len(own)),
            "position": pa.array([pair[1] for pair in own], pa.int64()),
        }
        arrays = [made.get(field.name, pa.nulls(len(own), field.type)) for field in columns.CANDIDATES]
        table = pa.table(arrays, schema=columns.CANDIDATES)
        table = columns.with_counts(table, f"unit {order}", {"in": len(own)})
        parts.append(columns.to_pandas(table.append_column("_order", pa.array([order] * len(table)))))
    return parts


def test_real_files(client: Client) -> None:
    parts = [units(file) for file in FILES]
    result = first_seen(candidates(frames(parts, UNITS), RULES), None).compute()
    assert list(result.columns) == SCHEMA.names
    # the broken twin has nothing of its own, and the archive's pages show the same logos again and again
    alone = {file[0]: extract(units(file), RULES) for file in FILES}
    pairs = {name: [(row["url"], row["text"]) for row in data(frame)] for name, frame in alone.items()}
    assert drops(result, "wat/broken")["duplicate"] == len(pairs["wat/broken"]) == 1
    assert "duplicate" not in drops(result, "wat/repaired")
    repeats = len(pairs["warc/archive"]) - len(set(pairs["warc/archive"]))
    assert drops(result, "warc/archive")["duplicate"] == repeats > 500
    for unit, found in pairs.items():
        assert counts(result, unit)["in"] == counts(alone[unit])["in"]
        kept = [row for row in data(result) if row["unit"] == unit]
        firsts = {pair: place for place, pair in reversed(list(enumerate(found)))}
        own = sorted(firsts.values())
        if unit != "wat/broken":
            assert [(row["url"], row["text"]) for row in kept] == [found[place] for place in own]


def test_a_second_run_knows_the_first(client: Client) -> None:
    frame = candidates(frames([units(file) for file in FILES], UNITS), RULES)
    first = first_seen(frame, None).compute()
    ids = [row["sample_id"] for row in data(first)]
    again = first_seen(frame, known(ids)).compute()
    assert data(again) == []
    assert drops(again)["known"] == len(data(frame.compute()))
    assert "duplicate" not in drops(again)
    part = first_seen(frame, known(ids[::2])).compute()
    assert [row["sample_id"] for row in data(part)] == ids[1::2]
    counts(part)


PAIRS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 10**6),
        st.sampled_from([f"http://a.example/{i}" for i in range(6)]),
        st.sampled_from(["some text", "other text", "1some text"]),
    ),
    max_size=40,
    unique_by=lambda pair: pair[:2],
)


@settings(deadline=None, max_examples=60)
@given(PAIRS, st.sets(st.integers(0, 5)), st.randoms(use_true_random=False))
def test_the_first_in_crawl_order_wins(pairs: list, in_lake: set[int], random) -> None:
    expected_first: dict[int, tuple] = {}
    for order, position, url, text in sorted(pairs):
        expected_first.setdefault(keys.sample_id(url, text), (order, position, url, text))
    lake = {keys.sample_id(f"http://a.example/{i}", "some text") for i in in_lake}
    expected = {"known": 0, "duplicate": 0, "id_collision": 0}
    for order, position, url, text in pairs:
        first = expected_first[keys.sample_id(url, text)]
        if keys.sample_id(url, text) in lake:
            expected["known"] += 1
        elif first != (order, position, url, text):
            expected["duplicate" if first[2:] == (url, text) else "id_collision"] += 1
    parts = rows(pairs) or [columns.meta(SCHEMA)]
    random.shuffle(parts)
    whole = [pd.concat(parts, ignore_index=True)]
    for some in (parts, whole):
        result = first_seen(frames(some, SCHEMA), known(sorted(lake))).compute(scheduler="sync")
        kept = {(row["_order"], row["position"], row["url"], row["text"]) for row in data(result)}
        assert kept == {row for id_, row in expected_first.items() if id_ not in lake}
        assert drops(result) == {name: n for name, n in expected.items() if n}
        for unit in {f"unit {pair[0]}" for pair in pairs}:
            counts(result, unit)


def test_equal_ids_of_other_pairs_are_collisions() -> None:
    # the hash is of URL and text put together, so these two share it
    pairs = [(0, 0, "http://a.example/x", "yellow"), (1, 0, "http://a.example/xy", "ellow")]
    assert keys.sample_id(*pairs[0][2:]) == keys.sample_id(*pairs[1][2:])
    result = first_seen(frames(rows(pairs), SCHEMA), None).compute(scheduler="sync")
    assert [row["text"] for row in data(result)] == ["yellow"]
    assert drops(result, "unit 1") == {"id_collision": 1}


def test_partitions_and_schema_stay(client: Client) -> None:
    parts = [units(*FILES[:2]), units(*FILES[2:]), units(FILES[0]).iloc[:0]]
    frame = first_seen(candidates(frames(parts, UNITS), RULES), None)
    assert frame.npartitions == 3
    for part, expected in zip(frame.partitions, [FILES[:2], FILES[2:], []], strict=True):
        found = part.compute()
        assert set(found["unit"]) == {file[0] for file in expected}
        assert pa.Table.from_pandas(found, preserve_index=False).schema.remove_metadata() == pa.schema(
            [pa.field(field.name, field.type) for field in SCHEMA]
        )


def test_extraction_runs_once(client: Client) -> None:
    calls: list[int] = []

    def load(i: int) -> pd.DataFrame:
        calls.append(i)
        return rows([(i, 0, "http://a.example/1", "some text")])[0]

    frame = dd.from_map(load, range(4), meta=columns.meta(SCHEMA))
    result = first_seen(frame, None).compute()
    assert sorted(calls) == [0, 1, 2, 3]
    assert counts(result) == {"in": 4, "drop:duplicate": 3}


def test_known_without_rows_and_rows_without_known() -> None:
    empty = frames([columns.meta(SCHEMA)], SCHEMA)
    assert len(first_seen(empty, known([1, 2])).compute(scheduler="sync")) == 0
    pairs = [(0, i, f"http://a.example/{i}", "some text") for i in range(5)]
    result = first_seen(frames(rows(pairs), SCHEMA), known([])).compute(scheduler="sync")
    assert np.array_equal(result["position"].dropna(), range(5))


@pytest.mark.parametrize("parts", [1, 4])
def test_keys_that_only_look_alike_are_not_known(parts: int) -> None:
    """The sieve goes by upper bits: neighbours of the keys of a run pass it, and are told apart after it."""
    pairs = [(i % parts, i, f"http://a.example/{i}", "some text") for i in range(40)]
    made = rows(pairs)
    ids = [row["sample_id"] for frame in made for row in data(frame)]
    assert any(i < 0 for i in ids)
    alike = [i ^ bit for i in ids for bit in (1, 1 << 20)]
    result = first_seen(frames(made, SCHEMA), known([*alike, ids[7]])).compute(scheduler="sync")
    assert drops(result) == {"known": 1}
    assert {row["sample_id"] for row in data(result)} == set(ids) - {ids[7]}
