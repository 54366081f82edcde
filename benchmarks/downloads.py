"""How fast URLs become stored pictures: ours against img2dataset 1.47, one process each, per core.

nginx serves JPEGs that benchmarks/photos.py makes, under 200 host names that both sides resolve to it. Each
part runs in a fresh process, in turns; what is measured is CPU and wall seconds of that process from the list
of URLs to the written rows, without imports:

- peer: img2dataset's own `Downloader` on one shard: 64 threads, keep_ratio 256 only if bigger, JPEG 95,
  sha256 and EXIF (its defaults), X-Robots-Tag, webdataset out;
- stage: a task of the downloads stage as a worker runs it, under the default rules (robots.txt, opt-outs,
  sha256, md5, perceptual hash): each outcome kept in the spool, rows written to a lake's tables;
- picture: the same files from memory through `picture` (its perceptual hash too);
- floor: decode (libjpeg-turbo, scaled), resize and encode alone, by the same libraries.

The stored picture is compared, pixel by pixel, with a full decode that OpenCV's INTER_AREA resized and that
was encoded at the same quality.

    uv run python benchmarks/downloads.py --json
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import simplejpeg
from output import show
from PIL import Image

from lakehouse.batch import target, write_part
from lakehouse.fetching import Fetch
from lakehouse.lake import init
from lakehouse.spool import FOLDER, Spool
from transforms import columns
from transforms.candidates.keys import url_id
from transforms.downloads import NOTHING, DownloadRules, Network
from transforms.downloads.image import picture, scaled_size

HERE = Path(__file__).parent
ENVS = HERE.parent / "bench-envs"
PEER = ["img2dataset==1.47.0", "pandas<3"]
PHOTOS = ["scikit-image", "scikit-learn", "pillow"]
PARTS = ("floor", "picture", "peer", "stage")
HOSTS = 200
DOMAIN = "photos.test"
RULES = DownloadRules()
ONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as Dask starts a worker
# Runs in the peer's environment: [CPU seconds, wall seconds, pictures] of one shard
PEER_SCRIPT = """
import gc, json, socket, sys, time, warnings
warnings.simplefilter("ignore")
import pyarrow as pa
from img2dataset.downloader import Downloader
from img2dataset.resizer import Resizer
from img2dataset.writer import WebDatasetSampleWriter
found = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: found("127.0.0.1", *rest, **more)
urls, folder = json.load(open(sys.argv[1])), sys.argv[2]
table = pa.table({"url": urls})
with pa.OSFile(folder + "/shard.feather", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
    writer.write_table(table)
resizer = Resizer(image_size=256, resize_mode="keep_ratio", resize_only_if_bigger=True, encode_quality=95)
download = Downloader(WebDatasetSampleWriter, resizer, 64, False, True, folder, ["url"], 10, len(urls), 5,
                      "sha256", None, "jpg", 0, None, ["noai", "noimageai", "noindex", "noimageindex"])
gc.collect()
cpu, wall = time.process_time(), time.perf_counter()
download((0, folder + "/shard.feather"))
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps([cpu, wall, json.load(open(folder + "/00000_stats.json"))["successes"]]))
"""
NGINX = """
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; types {{ image/jpeg jpg; text/plain txt; }}
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port}; root {root};
    location = /robots.txt {{ return 200 "User-agent: *\\nDisallow: /private/\\n"; }}
  }}
}}
"""


def environment(name: str, packages: list[str]) -> Path:
    """The Python that has `packages`, installed on the first call."""
    python = ENVS / name / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(ENVS / name)], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *packages], check=True)
    return python


def photos(number: int) -> Path:
    """The folder of pictures, made on the first call; another generator makes another folder."""
    version = hashlib.sha256((HERE / "photos.py").read_bytes()).hexdigest()[:8]
    folder = ENVS / f"photos-{number}-{version}"
    if not folder.exists():
        python = environment("photos", PHOTOS)
        part = folder.with_suffix(".part")
        subprocess.run([python, HERE / "photos.py", part, str(number)], check=True)
        part.rename(folder)
    return folder


@contextmanager
def serving(folder: Path, nginx: str) -> Iterator[int]:
    """A static server for `folder`; its port."""
    with tempfile.TemporaryDirectory() as own, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        config = Path(own) / "nginx.conf"
        config.write_text(NGINX.format(folder=own, port=port, root=folder.resolve()))
        Path(own).chmod(0o755)
        server = subprocess.Popen([nginx, "-c", config, "-p", own], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()
            server.wait()


def urls_of(folder: Path, port: int) -> list[str]:
    """One URL per picture, over the host names in turn."""
    names = sorted(path.name for path in folder.glob("*.jpg"))
    return [f"http://h{i % HOSTS}.{DOMAIN}:{port}/{name}" for i, name in enumerate(names)]


def floor(files: list[bytes]) -> int:
    """Decode, resize and encode alone, as fast as these libraries do it."""
    for data in files:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        size = scaled_size(width, height, RULES)
        factor = 1
        while factor < 8 and min(width / size[0], height / size[1]) >= 2 * factor:
            factor *= 2
        least = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
        pixels = simplejpeg.decode_jpeg(data, "RGB", **least)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        simplejpeg.encode_jpeg(np.ascontiguousarray(small), 95, "RGB", "420")
    return len(files)


def pictures(files: list[bytes]) -> int:
    """The files through the transform's own function."""
    return sum(bool(picture(data, RULES).data) for data in files)


def stage(urls: list[str], port: int, root: str) -> int:
    """Runs the URLs as one task and writes the rows that a worker would; the number of pictures."""
    network = Network(
        "PairlakeBench/0.1 (+https://photos.test/contact)", {f"*.{DOMAIN}": ("127.0.0.1", port)}
    )
    lake = init(root)
    targets = [target(lake, name) for name in ("downloads", "images")]
    given = pa.table(
        {
            "url": urls,
            "url_id": [url_id(url) for url in urls],
            "unit": ["bench"] * len(urls),
            "attempt": pa.array([1] * len(urls), pa.int32()),
        }
    )
    fetch = Fetch(RULES, network, Spool(lake.storage, FOLDER))
    parts = write_part(columns.to_pandas(given), targets, 1, "bench", fetch, given=NOTHING)
    fetch.clear()
    return sum(part.rows for part in parts if part.key == "images")


def run_part(part: str, folder: Path, port: int, out: str) -> None:
    """Runs one part in this process and prints what `timed` reads."""
    cv2.setNumThreads(1)
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))] if part != "stage" else []
    urls = urls_of(folder, port)
    gc.collect()  # what imports left is no part's work
    cpu, wall = time.process_time(), time.perf_counter()
    parts = {"floor": lambda: floor(files), "picture": lambda: pictures(files)}
    count = parts.get(part, lambda: stage(urls, port, out))()
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, count]))


def timed(part: str, folder: Path, port: int, python: Path) -> list[float]:
    """CPU seconds, wall seconds and pictures of one part, run in a fresh process."""
    with tempfile.TemporaryDirectory() as out:
        command: list[str | Path] = [Path(sys.executable), Path(__file__), "--part", part]
        command += ["--folder", folder, "--port", str(port), "--out", out]
        if part == "peer":
            (Path(out) / "urls.json").write_text(json.dumps(urls_of(folder, port)))
            command = [python, "-c", PEER_SCRIPT, Path(out) / "urls.json", out]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | ONE)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Decibels between two pictures of 8 bits; 99 where they are equal."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return 99.0 if error == 0 else min(99.0, 10 * float(np.log10(255**2 / error)))


def reference(data: bytes) -> bytes:
    """A full decode, INTER_AREA, JPEG 95: img2dataset's way."""
    with Image.open(io.BytesIO(data)) as image:
        size, pixels = scaled_size(*image.size, RULES), np.asarray(image.convert("RGB"))
    if size != image.size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, "RGB", "420"))


def likeness(folder: Path, number: int) -> dict[str, Any]:
    """How near the stored pictures are to those of a full decode, over the first `number` files."""
    found = []
    for path in sorted(folder.glob("*.jpg"))[:number]:
        data = path.read_bytes()
        ours, theirs = (
            np.asarray(Image.open(io.BytesIO(d))) for d in (picture(data, RULES).data, reference(data))
        )
        found.append(psnr(ours, theirs))
    quantiles = statistics.quantiles(found, n=20)
    return {
        "psnr_mean": round(statistics.mean(found), 1),
        "psnr_p5": round(quantiles[0], 1),
        "psnr_median": round(statistics.median(found), 1),
        "psnr_least": round(min(found), 1),
        "equal": sum(value == 99.0 for value in found),
        "compared": len(found),
    }


def report(found: dict[str, list[list[float]]], about: dict[str, Any]) -> dict[str, Any]:
    """The result from the runs of each part: medians, per picture."""
    cpu, wall = (
        {part: statistics.median(run[i] / run[2] for run in runs) * 1000 for part, runs in found.items()}
        for i in (0, 1)
    )
    return {
        "name": "downloads",
        "ours": round(1000 / cpu["stage"], 1),
        "peer": round(1000 / cpu["peer"], 1),
        "unit": "images per CPU second",
        "ratio": round(cpu["peer"] / cpu["stage"], 2),
        "floor_ratio": round(cpu["stage"] / cpu["floor"], 2),
        "wall_ratio": round(wall["peer"] / wall["stage"], 2),
        "cpu_ms_per_image": {part: round(value, 2) for part, value in cpu.items()},
        "wall_ms_per_image": {part: round(value, 2) for part, value in wall.items()},
        "load": [round(load, 1) for load in os.getloadavg()],
        **about,
    }


def main() -> None:
    """Measures in turns and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3, help="of each part")
    parser.add_argument("--nginx", default="nginx", help="path of the server's program")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.part:
        run_part(told.part, told.folder, told.port, told.out)
        return
    python, folder = environment("img2dataset", PEER), photos(told.pictures)
    found: dict[str, list[list[float]]] = {part: [] for part in PARTS}
    with serving(folder, told.nginx) as port:
        for _ in range(told.runs):
            for part in PARTS:
                found[part].append(timed(part, folder, port, python))
    sizes = [path.stat().st_size for path in folder.glob("*.jpg")]
    about = {"pictures": len(sizes), "mean_bytes": round(statistics.mean(sizes)), "runs": told.runs}
    result = report(found, {**about, **likeness(folder, 500)})
    show(result, told.json)


if __name__ == "__main__":
    main()
