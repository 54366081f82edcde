"""From a release to a trained and measured CLIP: `python -m lakehouse.training --root LAKE --release NAME …`.

Exports the view as webdataset shards (FOLDER/shards), trains on them by open_clip's own entry point
(FOLDER/model, which a lake takes as a model) and measures it on held-out pictures (FOLDER/result.json).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from lakehouse.cluster import connect
from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import open_lake
from lakehouse.training import clip, evaluate
from lakehouse.training.build import export_view
from lakehouse.training.pictures import read_held_out


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lakehouse.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, help="the lake")
    parser.add_argument("--release", required=True, help="the release")
    parser.add_argument("--view", required=True, help="whose pairs")
    parser.add_argument("--held-out", type=Path, required=True, help="parquet: name, picture")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--config", default="", help="an architecture of open_clip, or a JSON file of one")
    for field in dataclasses.fields(clip.Schedule):
        kind: Any = {"int": int, "float": float}.get(str(field.type), str)
        more: dict[str, Any] = {"nargs": "+"} if field.name == "augmentation" else {}
        parser.add_argument(f"--{field.name}", type=kind, default=field.default, **more)
    asked = vars(parser.parse_args())
    schedule = clip.Schedule(**{f.name: asked[f.name] for f in dataclasses.fields(clip.Schedule)})
    try:
        lake = open_lake(asked["root"], release=asked["release"])
        held_out = read_held_out(asked["held_out"])
        to: Path = asked["to"]
        with connect(lake.settings.cluster) as client:
            pairs = export_view(lake, client, asked["view"], to / "shards")
        shards = sorted((to / "shards").glob("*.tar"))
        clip.train(shards, to / "model", schedule, config(asked["config"]))
        encoded = evaluate.encode(to / "model", held_out)
        low, high = evaluate.resampled(encoded)
        told = {"pairs": pairs, **evaluate.measure(encoded), "zero_shot_top1_95": [low, high]}
        told["chance"] = 1 / len(held_out)
        (to / "result.json").write_text(json.dumps(told, indent=1) + "\n")
        print(json.dumps(told, indent=1))
    except LakeError as error:
        sys.exit(f"error: {error}")


def config(name: str) -> dict[str, Any] | None:
    """open_clip's `model_cfg` of an architecture, or from a file. Raises UsageError where there is none."""
    if not name:
        return None
    import open_clip

    if Path(name).is_file():
        told = json.loads(Path(name).read_text())
        return dict(told.get("model_cfg", told))
    found = open_clip.get_model_config(name)
    if found is None:
        raise UsageError(f"{name!r} is neither a file nor an architecture of open_clip")
    return dict(found)


if __name__ == "__main__":
    main()
