"""`lake card`: what a dataset is, as Markdown made from its lineage alone: every number is the lake's own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse import releases, verification, views
from lakehouse.lake import Lake
from lakehouse.papers.page import number
from lakehouse.stages import stages

MOST = 15  # lines of a table in the card: what is beyond is summed up in one line
CELL = 200  # characters of a cell; the rest of a long list of rules is in lake.toml

LANGUAGES = """
select coalesce(language, '(none)') as language, count(*) as pairs, count(similarity) as scored
from pairs group by all order by pairs desc, 1
"""
RIGHTS = (
    "What the pages said of themselves. Pairlake does not decide whether a picture or text may be used: both "
    "belong to whoever made them."
)
LICENSES = """
select coalesce(license, '(page names none)') as license, count(*) as pairs
from pairs group by all order by pairs desc, 1
"""


def card(lake: Lake) -> str:
    """The Markdown of the whole card, for what the lake holds at the moment it was opened at."""
    parts = [
        f"# {lake.moment.what.capitalize() if lake.moment else 'A Pairlake lake, at head'}",
        "Made by `lake card`; every number below is read from the lake.",
        _versions(lake),
        _sources(lake),
        _rules(lake),
        _thresholds(lake),
        "## Funnel\n\n" + _table(views.query(lake, "select * from funnel").to_pylist(), 200),
        "## Languages\n\n" + _table(views.query(lake, LANGUAGES).to_pylist()),
        "## Safety\n\n" + _table(views.query(lake, "select * from safety").to_pylist(), 100),
        f"## Licences\n\n{RIGHTS}\n\n" + _table(views.query(lake, LICENSES).to_pylist()),
        _removals(lake),
        _checks(lake),
    ]
    return "\n\n".join(parts) + "\n"


def _versions(lake: Lake) -> str:
    pins = lake.pins()
    left = verification.left(lake.ledger.state(), pins)
    table = [
        {"table": k, "batches": f"{low}–{high}", "rows": left[k].rows} for k, (low, high) in pins.items()
    ]
    made = [
        {"release": r.name, "made": f"{r.at:%Y-%m-%d}", "with": f"Pairlake {r.package}", "note": r.note or ""}
        for r in releases.list_releases(lake)
    ]
    return (
        "## Versions\n\n" + _table(table, 100) + "\n\n" + (_table(made, 100) if made else "No release yet.")
    )


def _sources(lake: Lake) -> str:
    kinds = Counter(source.kind for source in lake.ledger.sources())
    places = Counter(source.path.rpartition("/")[0] for source in lake.ledger.sources())
    return (
        "## Sources\n\n"
        + _table([{"kind": kind, "units": n} for kind, n in sorted(kinds.items())])
        + "\n\n"
        + _table([{"from": place or ".", "units": n} for place, n in places.most_common()])
    )


def _rules(lake: Lake) -> str:
    """Each stage's rules, if they are those that its rows were made with."""
    parts = ["## Rules"]
    pins = lake.pins()
    done = {(e["key"], e["batch"]): e["fingerprint"] for e in lake.ledger.done()}
    for stage in stages(lake):
        key = stage.keys[0]
        if key not in pins:
            continue
        made_with = {
            done[key, batch] for batch in range(pins[key][0], pins[key][1] + 1) if (key, batch) in done
        }
        now = stage.fingerprint()
        if made_with == {now}:
            parts.append(f"### {stage.name} (`{now}`)\n\n" + _pairs(_flat(stage.rules())))
        else:
            them = ", ".join(f"`{f}`" for f in sorted(made_with))
            parts.append(f"### {stage.name}\n\nMade with rules {them}; those of lake.toml now are `{now}`.")
    return "\n\n".join(parts)


def _thresholds(lake: Lake) -> str:
    rows = views.query(lake, "select * from active_thresholds order by rule").to_pylist()
    return "## Thresholds\n\n" + _table(rows, 100)


def _removals(lake: Lake) -> str:
    """What was taken out, per removal: they hold for every release."""
    state = lake.ledger.state()
    rows: dict[str, dict[str, Any]] = {}
    for event in state.withdrawn():
        (removal,) = event["units"]
        row = rows.setdefault(removal, {"removal": removal, "on": f"{event['at']:%Y-%m-%d}"})
        for key, name in (("candidates", "pairs"), ("images", "pictures")):
            row[name] = row.get(name, 0) + (event["rows"] if event["key"] == key else 0)
    return "## Removals\n\n" + _table(list(rows.values()), 100)


def _checks(lake: Lake) -> str:
    name = next((r.name for r in reversed(releases.list_releases(lake))), "NAME")
    return (
        "## How to check, and how to be taken out\n\n"
        f"- `lake release verify {name}` reads every byte again and compares rows and checksums.\n"
        "- `lake show SAMPLE_ID` shows where a row comes from, and what each stage made of it.\n"
        f"- Who speaks for this dataset: `{lake.settings.network.user_agent}`. Ask there to be taken out, "
        "with the picture's URL; `lake remove --url URL` takes it out of every table and release."
    )


def _flat(rules: Any, prefix: str = "") -> dict[str, Any]:
    """Nested rules as dotted names."""
    if dataclasses.is_dataclass(rules) and not isinstance(rules, type):
        rules = dataclasses.asdict(rules)
    if not isinstance(rules, Mapping):
        return {prefix: rules}
    found: dict[str, Any] = {}
    for name, value in rules.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def _pairs(values: Mapping[str, Any]) -> str:
    return _table([{"": f"`{name}`", "value": value} for name, value in values.items()], 100)


def _table(rows: Sequence[Mapping[str, Any]], most: int = MOST) -> str:
    """A Markdown table of at most `most` rows; the rest is counted in a last line."""
    if not rows:
        return "None."
    names = list(rows[0])
    lines = [_line(names), _line("---" for _ in names)]
    lines += [_line(_cell(row[name]) for name in names) for row in rows[:most]]
    if len(rows) > most:
        lines.append(f"\n… and {len(rows) - most:,} more.")
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else number(value)
    line = " ".join(text.split())
    return (line if len(line) <= CELL else f"{line[: CELL - 1]}…").replace("|", "\\|")
