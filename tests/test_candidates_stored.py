"""Any bytes as an alt text, and any URL, survive to the table and back, or are counted under a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from crawl_units import counts, data, extracted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.fingerprints import fingerprint
from lakehouse.lake import Lake
from lakehouse.schema import FIXED
from lakehouse.tables import Range
from transforms import columns
from transforms.candidates.reasons import Drop

BYTES = st.binary(max_size=80) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
URLS = st.text(max_size=40) | st.text(max_size=40).map("http://a.example/{}".format)
PAIRS = st.lists(st.tuples(URLS, BYTES), max_size=12)


def stored(lake: Lake, rows: pa.Table) -> pa.Table:
    """`rows` written as a worker writes them, committed, and read back."""
    table, batch = lake.table("candidates"), len(lake.table("candidates").history()) + 1
    numbered = rows.append_column("batch", pa.array([batch] * len(rows), pa.int64()))
    numbered = numbered.cast(FIXED["candidates"].schema)
    table.commit(table.writer().write(numbered), {}, lambda: None)
    return table.arrow([Range(batch, batch)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAIRS)
def test_to_the_table_and_back(tmp_path_factory, lake: Lake, pairs: list[tuple[str, bytes]]) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "any.jsonl"
    lines = [b'{"url":%s,"text":"%s"}' % (json.dumps(url).encode(), alt) for url, alt in pairs]
    path.write_bytes(b"\n".join(lines))
    frame = extracted(path, "urls")
    found = counts(frame)  # rows in = rows out + all reasons
    assert {name.partition(":")[2] for name in found if name.startswith("drop:")} <= {*Drop}
    # a line feed in the bytes makes two bad rows of one; nothing else does
    assert found.get("in", 0) >= sum(b"\n" not in line and bool(line.strip()) for line in lines)
    rows = columns.to_arrow(frame[frame[columns.COUNT].isnull()], columns.CANDIDATES)
    if not len(rows):
        return
    back = stored(lake, rows)
    assert back.select(rows.schema.names).to_pylist() == rows.to_pylist()
    assert fingerprint(back.select(rows.schema.names)) == fingerprint(rows)
    for row in data(frame):
        row["url"].encode()
        row["text"].encode()
