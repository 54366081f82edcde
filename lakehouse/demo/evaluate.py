"""What the demo's model can do: `python -m lakehouse.demo.evaluate --pairs FILE [--model FOLDER]`.

Two tables: how often a name finds its Fluent picture among all of them (R@1 and R@5, a style that training
never saw), and how right and wrong captions of the demo's own web differ in cosine, for the threshold.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from lakehouse.demo.pages import build
from lakehouse.demo.sentences import SENTENCES
from lakehouse.demo.sites import Web
from transforms.embeddings import ModelSpec, embed_images, embed_texts

FOLDER = Path(__file__).parent / "model"

Vectors = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True, help="parquet with pictures and names")
    parser.add_argument("--model", type=Path, default=FOLDER, help="folder of the model")
    asked = parser.parse_args()
    spec = ModelSpec("demo", str(asked.model))
    print(
        json.dumps({"retrieval": retrieval(asked.pairs, spec), "captions": captions(build(), spec)}, indent=1)
    )


def retrieval(pairs: Path, spec: ModelSpec) -> dict[str, dict[str, float]]:
    """Per language the share of bare names whose own picture comes first (r1) or in the first five (r5).

    The candidates are all Fluent pictures of `pairs`; a tie counts against the model. `chance` has the same
    shares for an order drawn by lot.
    """
    rows = [
        row
        for row in pq.read_table(pairs, columns=["captions", "fluent3d_webp"]).to_pylist()
        if row["fluent3d_webp"]
    ]
    pictures = embed_images([row["fluent3d_webp"] for row in rows], spec)
    found = {"chance": {"r1": 1 / len(rows), "r5": 5 / len(rows)}}
    for language in SENTENCES:
        names = embed_texts([dict(row["captions"])[language] for row in rows], spec)
        found[language] = recall(names, pictures)
    return found


def recall(texts: Vectors, pictures: Vectors) -> dict[str, float]:
    """R@1 and R@5 of `texts` [n, D], the i-th of which belongs to the i-th of `pictures` [n, D]."""
    cosine = texts @ pictures.T
    better = (cosine >= np.diag(cosine)[:, None]).sum(axis=1) - 1
    return {"r1": float((better < 1).mean()), "r5": float((better < 5).mean())}


def captions(web: Web, spec: ModelSpec) -> dict[str, Any]:
    """Cosines of right and of wrong captions, in English and in the other languages.

    Right: the right captions of the web's ordinary pictures. Wrong: the same captions with each other one of
    those pictures. For both percentiles, and for each threshold the share of pairs that reach it.
    """
    rows = [row for row in web.truth.to_pylist() if row["kind"] in ("right", "second")]
    places = {row["url"]: row["url"].removeprefix("http://").partition("/") for row in rows}
    bodies = [web.answers[host, f"/{path}"].body for host, _, path in places.values()]
    cosine = embed_texts([row["text"] for row in rows], spec) @ embed_images(bodies, spec).T
    own = np.array([[row["url"] == url for url in places] for row in rows])
    english = np.array([row["language"] == "en" for row in rows])
    found = {}
    for name, among in (("en", english), ("others", ~english)):
        right, wrong = cosine[among][own[among]], cosine[among][~own[among]]
        found[name] = {
            "right": _percentiles(right),
            "wrong": _percentiles(wrong),
            "thresholds": _thresholds(right, wrong),
        }
    return found


def _percentiles(cosine: Vectors) -> dict[str, float]:
    named = {f"p{p}": round(float(np.percentile(cosine, p)), 3) for p in (1, 5, 10, 25, 50, 75, 90, 95, 99)}
    return {"n": len(cosine), **named}


def _thresholds(right: Vectors, wrong: Vectors) -> dict[str, tuple[float, float]]:
    """Threshold -> (share of right captions kept, share of wrong ones passed)."""
    steps = np.arange(0.1, 0.61, 0.02)
    return {
        f"{step:.2f}": (round(float((right >= step).mean()), 3), round(float((wrong >= step).mean()), 3))
        for step in steps
    }


if __name__ == "__main__":
    main()
