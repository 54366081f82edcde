"""clip-retrieval's own ClipClient, in an environment of its own, searches a lake unchanged."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from transforms.embeddings import embed_texts

CLIENT = ("clip-retrieval==2.45.0", "requests>=2.31,<3")  # the first without its hundred dependencies
# The client's module is loaded by its file: the package's __init__ imports its server, faiss and torch
ASK = """
import importlib.util, json, sys
from importlib.metadata import distribution
file = distribution("clip-retrieval").locate_file("clip_retrieval/clip_client.py")
spec = importlib.util.spec_from_file_location("clip_client", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
ClipClient, Modality = module.ClipClient, module.Modality
asked = json.load(sys.stdin)
found = []
for options, query in asked["queries"]:
    options["modality"] = Modality[options.pop("modality", "IMAGE")]
    client = ClipClient(url=asked["url"], indice_name=asked["index"], **options)
    found.append(client.query(**query))
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the client. Skips where none can be made."""
    folder = tmp_path_factory.mktemp("clip-retrieval") / "env"
    found = folder / "bin" / "python"
    for words in (
        ["uv", "venv", "--quiet", str(folder)],
        ["uv", "pip", "install", "--quiet", "--python", str(found), "--no-deps", CLIENT[0]],
        ["uv", "pip", "install", "--quiet", "--python", str(found), CLIENT[1]],
    ):
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=240)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no environment with clip-retrieval: {' '.join(words[:3])}: {error}")
    return found


def ask(python: Path, served: Served, *queries: tuple[dict[str, Any], dict[str, Any]]) -> list[Any]:
    """What the client finds for each of `queries`: (options of the client, arguments of `query`)."""
    asked = {"url": f"{served.url}/knn-service", "index": "demo", "queries": queries}
    ended = subprocess.run(
        [python, "-c", ASK], input=json.dumps(asked), capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: list[Any] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
def test_clip_client_finds_by_text_image_and_embedding(python: Path, served: Served, tmp_path: Path) -> None:
    first = served.search(text="a bicycle", k=1)[0]
    picture = tmp_path / "bicycle.jpg"
    picture.write_bytes(served.ask(f"/api/thumbnail/{first['url_id']}").body)
    vector = embed_texts(["a bicycle"], served.lake.settings.models[0])[0].tolist()
    by_text, by_image, by_vector = ask(
        python,
        served,
        ({"num_images": 5}, {"text": "a bicycle"}),
        ({"num_images": 5}, {"image": str(picture)}),
        ({"num_images": 5}, {"embedding_input": vector}),
    )
    assert set(by_text[0]) >= {"id", "similarity", "url", "caption"}
    assert by_text[0]["url"] == by_image[0]["url"] == first["url"]
    assert by_image[0]["similarity"] > 0.99
    assert [row["id"] for row in by_vector] == [row["id"] for row in by_text]
    assert len(by_text) == 5


@pytest.mark.slow
def test_clip_clients_options_mean_what_they_say(python: Path, served: Served) -> None:
    query = {"text": "a bicycle"}
    every, single, pretty, texts = ask(
        python,
        served,
        ({"num_images": 100, "deduplicate": False}, query),
        ({"num_images": 100, "deduplicate": True}, query),
        ({"num_images": 100, "aesthetic_score": 9, "aesthetic_weight": 1.0, "deduplicate": False}, query),
        ({"num_images": 20, "modality": "TEXT"}, query),
    )
    assert len(every) == len(single) == 100
    assert len({row["url"] for row in every}) < 100  # a picture has several captions
    assert len({row["url"] for row in single}) == 100
    assert [row["id"] for row in pretty] == [row["id"] for row in every]  # the demo's model has no ratings
    similarities = [row["similarity"] for row in texts]
    assert similarities == sorted(similarities, reverse=True)
    assert "bici" in texts[0]["caption"].lower()  # in English, Spanish, Italian or Portuguese


def test_the_wire_format_without_its_client(served: Served) -> None:
    """What ClipClient sends, byte for byte, and what clip-front asks beside it."""
    assert served.ask("/indices-list").json == ["demo"]
    sent = {
        "text": "a bicycle", "image": None, "image_url": None, "embedding_input": None, "deduplicate": True,
        "use_safety_model": True, "use_violence_detector": True, "indice_name": "demo", "use_mclip": False,
        "aesthetic_score": 9, "aesthetic_weight": 0.5, "modality": "image", "num_images": 3,
        "num_result_ids": 8,
    }  # fmt: skip
    found = served.ask("/knn-service", sent).json
    assert len(found) == 8
    assert all("caption" in row for row in found[:3])
    assert all(set(row) == {"id", "similarity"} for row in found[3:])
    ids = [row["id"] for row in found]
    told = served.ask("/metadata", {"ids": ids, "indice_name": "demo"}).json
    assert [row["id"] for row in told] == ids
    assert told[0]["metadata"]["caption"] == found[0]["caption"]
    blank = sent | {"aesthetic_score": "", "aesthetic_weight": "", "num_result_ids": 3}  # as clip-front does
    assert [row["id"] for row in served.ask("/knn-service", blank).json] == ids[:3]
    picture = served.ask(f"/api/thumbnail/{served.search(text='a bicycle', k=1)[0]['url_id']}").body
    by_image = sent | {"text": None, "image": base64.b64encode(picture).decode()}
    assert served.ask("/knn-service", by_image).json[0]["url"] == found[0]["url"]
    for wrong in ({"indice_name": "laion5B"}, {"use_mclip": True}, {"text": None}, {"num_images": 10_001}):
        assert served.ask("/knn-service", sent | wrong | {"num_result_ids": None}).status == 422
