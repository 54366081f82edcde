"""The study's arms, as views of the lake: which pairs a model is trained on."""

from __future__ import annotations

from pathlib import Path

from lakehouse.lake import Lake, open_lake
from lakehouse.sqlfiles import literal

SEEDS = 5
ARMS = {
    "all": "every pair that has a picture",
    "laion": "LAION's rule: English, similarity at least the threshold",
    "deduplicated": "LAION's rule, and each picture once: of equal perceptual hashes the first pair",
    "random": "as many pairs as LAION's rule leaves, drawn by lot, anew for each seed",
    "clean": "right captions on pictures that are no copies: what no filter knows",
}
"""Name -> what it holds."""


def view(arm: str, seed: int) -> str:
    """The name of the view that holds the pairs of an arm, for a seed."""
    return f"study_random_{seed}" if arm == "random" else f"study_{arm}"


def queries(truth: Path) -> dict[str, str]:
    """The views' SQL. `truth`: the parquet file that says what is right; only the clean arm reads it."""
    found = {
        "study_all": "select * from pairs where status = 'success' and similarity is not null",
        "study_laion": "select laion2b_en.* from laion2b_en",
        "study_deduplicated": (
            "select * from study_laion\n"
            "qualify row_number() over (partition by phash order by md5(sample_id::varchar)) = 1"
        ),
        "study_clean": (
            "select study_all.* from study_all\n"
            f"semi join read_parquet({literal(str(truth))}) as truth\n"
            "    on study_all.url = truth.url and study_all.text = truth.text\n"
            "    and truth.kind = 'right' and not truth.copy"
        ),
    }
    for seed in range(SEEDS):
        found[f"study_random_{seed}"] = (
            "select * from study_all\n"
            f"order by md5(sample_id::varchar || ':{seed}')\n"
            "limit (select count(*) from study_laion)"
        )
    return found


def write(lake: Lake, truth: Path, threshold: float) -> Lake:
    """Gives a local lake the threshold and the arms' views; returns it as it is then."""
    root = Path(lake.storage.root)
    toml = (root / "lake.toml").read_text()
    if "[thresholds]" not in toml:
        (root / "lake.toml").write_text(f"{toml}\n[thresholds]\nsimilarity_en = {threshold}\n")
    (root / "sql").mkdir(exist_ok=True)
    for name, text in queries(truth).items():
        (root / "sql" / f"{name}.sql").write_text(text + "\n")
    return open_lake(str(root))
