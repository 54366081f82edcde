"""Makes tests/data/imports: what img2dataset and clip-retrieval themselves write, for tests of `lake import`.

img2dataset 1.47.0 fetches fifteen rows from a server in this process, once per output format; then
clip-retrieval 2.45 embeds what became of them, with the demo's own CLIP in the place of the weights that it
would fetch. Both run in environments that uv makes for them.

    uv run python scripts/make_import_fixtures.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
TO = ROOT / "tests" / "data" / "imports"
PHOTOS = sorted((ROOT / "tests" / "data" / "heads").glob("*.jpg"))
MODEL = ROOT / "lakehouse" / "demo" / "model"
IMG2DATASET = ("--with", "img2dataset==1.47.0", "--with", "pandas<3", "--with", "setuptools<81")
CLIP_RETRIEVAL = ("--with", "clip-retrieval==2.45", "--with", "setuptools<81", "--with", "numpy==1.26.4")
FORMATS = ("webdataset", "files", "parquet")
HOST = "http://pictures.test"

#: path of the URL, caption; in this order in the list
ROWS = [
    *[(f"/{i}.jpg", f"The photograph with the number {i}, as a caption of its own") for i in range(7)],
    ("/0.jpg", "The first photograph once more, under another caption"),
    ("/1.jpg", "The photograph with the number 1, as a caption of its own"),  # the same row again
    ("/2.jpg", "abc"),  # too short for a candidate
    ("/gone.jpg", "A photograph that is no longer there, so it says 404"),
    ("/page.jpg", "A page in the place of a photograph, which does not decode"),
    ("/noai.jpg", "A photograph whose server does not want it to be used"),
    ("/6.jpg?a=1&amp;b=2", "The last photograph, whose URL is written as in a page"),
    ("/3.jpg", None),
]

EMBED = """
import json, sys
import clip_retrieval.clip_inference.worker
import open_clip
model, to, tar = sys.argv[1:]
# the package has a function by the name of its own subpackage
worker, mapper = (sys.modules["clip_retrieval.clip_inference." + name] for name in ("worker", "mapper"))

def load_clip(clip_model, **_):
    told = json.load(open(model + "/open_clip_config.json"))
    name = "demo"
    open_clip.factory._MODEL_CONFIGS[name] = told["model_cfg"]
    picture = told["preprocess_cfg"]
    made, _, preprocess = open_clip.create_model_and_transforms(
        name, image_mean=tuple(picture["mean"]), image_std=tuple(picture["std"]),
        image_interpolation=picture["interpolation"], image_resize_mode=picture["resize_mode"])
    from safetensors.torch import load_file
    made.load_state_dict({k: v.float() for k, v in load_file(model + "/open_clip_model.safetensors").items()})
    words = told["model_cfg"]["text_cfg"]
    tokens = open_clip.SimpleTokenizer(model + "/bpe.txt.gz", context_length=words["context_length"])
    return made.eval(), preprocess, tokens

mapper.load_clip = worker.load_clip = load_clip
worker.worker([0], [tar], to, 1, input_format="webdataset", batch_size=4, num_prepro_workers=1,
              enable_metadata=True, clip_model="demo")
"""


class Handler(BaseHTTPRequestHandler):
    """A proxy that answers for every host itself."""

    def do_GET(self) -> None:
        name = self.path.removeprefix(HOST).partition("?")[0].strip("/")
        number = name.removesuffix(".jpg")
        body = PHOTOS[int(number)].read_bytes() if number.isdigit() else b""
        if name == "page.jpg":
            body = b"<html>no picture</html>" * 20
        elif name == "noai.jpg":
            body = PHOTOS[0].read_bytes()
        self.send_response(200 if body else 404)
        if name == "noai.jpg":
            self.send_header("X-Robots-Tag", "noai")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "http_proxy": f"http://127.0.0.1:{server.server_port}"}
    shutil.rmtree(TO, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "list.parquet"
        urls, captions = zip(*ROWS, strict=True)
        pq.write_table(pa.table({"url": [HOST + url for url in urls], "caption": captions}), listed)
        for form in FORMATS:
            told = {
                "url_list": listed, "output_folder": TO / form, "output_format": form,
                "input_format": "parquet", "url_col": "url", "caption_col": "caption", "image_size": 96,
                "resize_mode": "keep_ratio", "resize_only_if_bigger": True, "processes_count": 1,
                "thread_count": 1, "number_sample_per_shard": 8, "encode_quality": 80,
                "enable_wandb": False, "disallowed_header_directives": '["noai"]',
            }  # fmt: skip
            options = [f"--{name}={value}" for name, value in told.items()]
            _run([*IMG2DATASET, "img2dataset", *options], environment)
        script = Path(folder) / "embed.py"
        script.write_text(EMBED)
        embedded = TO / "clip-retrieval"
        _run(
            [
                *CLIP_RETRIEVAL,
                "python",
                str(script),
                str(MODEL),
                str(embedded),
                str(TO / "webdataset" / "00000.tar"),
            ]
        )
    for path in TO.rglob("_tmp"):
        shutil.rmtree(path)
    print(
        json.dumps(
            {str(p.relative_to(TO)): p.stat().st_size for p in sorted(TO.rglob("*")) if p.is_file()}, indent=1
        )
    )


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    start = ["uv", "run", "--isolated", "--no-project", "--python", "3.11"]
    subprocess.run([*start, *command], check=True, env=environment, cwd="/")


if __name__ == "__main__":
    main()
