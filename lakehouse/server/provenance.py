"""Where a pair comes from: its crawl file and page, the batches that made each of its rows, the models."""

from __future__ import annotations

from typing import Any

from lakehouse.errors import UsageError
from lakehouse.events import Event
from lakehouse.server.versions import Opened

_ATTEMPTS = """select attempt, status, error, http_status, final_url, content_type, opt_out,
    fetched_at::varchar as fetched_at, batch
from downloads where url_id = ? order by attempt limit 20
"""
_SCORES = "select scorer, value, batch from scores where sample_id = ? order by scorer"
_CAPTIONS = (
    "select sample_id, text, language, similarity from pairs where url_id = ? order by sample_id limit 50"
)


class NotThereError(UsageError):
    """What is asked for is not in this version of the lake."""


def provenance(opened: Opened, sample_id: int) -> dict[str, Any]:
    """One pair through every stage. Raises NotThereError where this version of the lake has no such pair.

    Ids of 64 bits are text: a browser's numbers have 53.
    """
    with opened.sessions.lent() as session:
        rows = session.rows("select * from pairs where sample_id = ?", [sample_id]).to_pylist()
        if not rows:
            raise NotThereError(f"no pair has sample_id {sample_id} in this version")
        pair = rows[0]
        attempts = session.rows(_ATTEMPTS, [pair["url_id"]]).to_pylist()
        scores = session.rows(_SCORES, [sample_id]).to_pylist()
        captions = session.rows(_CAPTIONS, [pair["url_id"]]).to_pylist()
    events = {(event["key"], event["batch"]): event for event in opened.lake.ledger.state().done()}
    return {
        "pair": told(pair),
        "crawl_file": pair["unit"],
        "page_url": pair["page_url"],
        "attempts": [told(row) for row in attempts],
        "scores": [told(row) for row in scores],
        "captions": [told(row) for row in captions],
        "batches": _batches(opened, events, pair, attempts, scores),
        "models": [
            {"name": model.name, "architecture": _plain(model.architecture), "pretrained": model.pretrained}
            for model in opened.lake.settings.models
        ],
    }


def told(row: dict[str, Any]) -> dict[str, Any]:
    """`row` as JSON can have it: ids of 64 bits as text."""
    return {
        name: str(value) if value is not None and name in ("sample_id", "url_id", "phash") else value
        for name, value in row.items()
    }


def _batches(
    opened: Opened,
    events: dict[tuple[str, int], Event],
    pair: dict[str, Any],
    attempts: list[dict[str, Any]],
    scores: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """What the ledger says of the batches that made the pair's rows."""
    keys = [("candidates", pair["batch"]), *(("downloads", row["batch"]) for row in attempts)]
    fetched = {f"downloads:{row['batch']}" for row in attempts}
    keys += [
        key
        for key, event in events.items()
        if key[0].startswith("embeddings_") and fetched & {*event["units"]}
    ]
    keys += [(f"scores/{row['scorer']}", row["batch"]) for row in scores]
    found = []
    for key in dict.fromkeys(keys):
        if event := events.get(key):
            found.append(
                {
                    "key": event["key"],
                    "batch": event["batch"],
                    "generation": event["generation"],
                    "version": event["version"],
                    "rules": event["fingerprint"],
                    "rows": event["rows"],
                    "at": f"{event['at']:%Y-%m-%d %H:%M:%S} UTC",
                }
            )
    return found


def _plain(architecture: str) -> str:
    """A model's name without the folder of this machine that it may lie in."""
    return architecture.rpartition("/")[2] if architecture.startswith("/") else architecture
