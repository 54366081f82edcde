"""JPEGs like the web's, made from the photographs that scikit-image and scikit-learn carry.

Each is a part of one photograph, mirrored or not, scaled to 0.1 to 1.5 megapixels (even on a log scale), with
the grain that scaling took away put back, at JPEG quality 70 to 95, one in five progressive and one in ten
without chroma subsampling. The same number and seed give the same files.

Runs in an environment of its own, with scikit-image, scikit-learn and Pillow:

    python benchmarks/photos.py FOLDER 3000
"""

from __future__ import annotations

import io
import random
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS = {
    "skimage/data": ("astronaut", "chelsea", "coffee", "hubble_deep_field", "motorcycle_left", "rocket"),
    "sklearn/datasets/images": ("china", "flower"),
}
LEAST, MOST = 100_000, 1_500_000  # pixels
GRAIN = 2.0  # standard deviation of the grain, in levels of 255


def sources() -> list[Image.Image]:
    """The photographs, in RGB."""
    found = []
    for folder, names in PHOTOS.items():
        package, _, rest = folder.partition("/")
        spec = find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        place = Path(spec.submodule_search_locations[0]) / rest
        for name in names:
            (path,) = [path for path in place.glob(f"{name}.*") if path.suffix in (".jpg", ".png")]
            found.append(Image.open(path).convert("RGB"))
    return found


def jpeg(photos: list[Image.Image], number: int) -> bytes:
    """The JPEG of this number."""
    draw = random.Random(number)
    photo = draw.choice(photos)
    pixels = LEAST * (MOST / LEAST) ** draw.random()
    ratio = draw.choice([4 / 3, 3 / 2, 16 / 9, 1.0, 3 / 4, 2 / 3])
    width, height = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
    scale = min(photo.width / width, photo.height / height) * draw.uniform(0.7, 1.0)
    left = draw.uniform(0, photo.width - width * scale)
    top = draw.uniform(0, photo.height - height * scale)
    box = (left, top, left + width * scale, top + height * scale)
    part = photo.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if draw.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    grain = np.random.default_rng(number).normal(0, GRAIN, (height, width, 1)).astype(np.float32)
    grained = Image.fromarray(np.clip(np.asarray(part) + grain, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    quality, progressive = draw.choice([70, 75, 80, 85, 90, 95]), draw.random() < 0.2
    sampling = "4:4:4" if draw.random() < 0.1 else "4:2:0"
    grained.save(file, "JPEG", quality=quality, progressive=progressive, subsampling=sampling)
    return file.getvalue()


def main() -> None:
    """Writes NUMBER files, 00000.jpg and on, to FOLDER."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    photos = sources()
    for i in range(number):
        (folder / f"{i:05d}.jpg").write_bytes(jpeg(photos, i))


if __name__ == "__main__":
    main()
