"""The training of the demo's model: its steps by themselves, and a tiny run from end to end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image

from lakehouse.demo import train
from lakehouse.demo.augment import augment
from lakehouse.demo.pictures import carried
from transforms.embeddings import ModelSpec, embed_images, embed_texts


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen carried pictures in the columns that training reads, small and large for the two vendors."""

    def png(data: bytes, side: int) -> bytes:
        out = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("RGBA").resize((side, side)).save(out, "PNG")
        return out.getvalue()

    rows = [
        {"captions": list(p.names.items()), "noto_png64": png(p.data, 64), "twemoji_png64": png(p.data, 48)}
        for p in carried()[:16]
    ]
    schema = pa.schema(
        [
            ("captions", pa.map_(pa.string(), pa.string())),
            ("noto_png64", pa.binary()),
            ("twemoji_png64", pa.binary()),
        ]
    )
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def test_a_tiny_run_writes_a_folder_that_loads(pairs: Path, tmp_path: Path) -> None:
    train.train(pairs, tmp_path, train.Schedule(minutes=0.05, batch=8, merges=200))
    spec = ModelSpec("tiny", str(tmp_path))
    pictures = embed_images([carried()[0].data], spec)
    texts = embed_texts(["scorpion", "бабочка"], spec)
    assert pictures.shape == (1, 192)
    assert texts.shape == (2, 192)
    assert np.isfinite(texts).all()


def test_short_batches_are_encoded_as_whole_ones() -> None:
    """Against open_clip's own encode_text on the padded batch."""
    torch.manual_seed(0)
    model = CLIP(**{**train.MODEL, "text_cfg": {**train.MODEL["text_cfg"], "vocab_size": 600}})
    tokens = torch.zeros(3, 32, dtype=torch.long)
    for row, length in enumerate((2, 7, 12)):
        tokens[row, :length] = torch.arange(1, length + 1)
        tokens[row, length] = 599
    with torch.no_grad():
        torch.testing.assert_close(train.encode_short(model, tokens), model.encode_text(tokens))


def test_the_loss_of_a_model_that_knows_nothing() -> None:
    """InfoNCE of n pairs is log n where all logits are equal."""

    class Blank(torch.nn.Module):
        logit_scale = torch.tensor(0.0)

        def visual(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pictures), 4)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "encode_short", lambda model, tokens: torch.ones(len(tokens), 4))
        loss = train.contrastive(Blank(), torch.zeros(8, 3, 2, 2), torch.zeros(8, 4, dtype=torch.long))
    assert loss.item() == pytest.approx(np.log(8), rel=1e-5)


def test_augmented_pictures_are_pictures() -> None:
    pictures = torch.rand(6, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    one = augment(pictures, torch.Generator().manual_seed(5))
    two = augment(pictures, torch.Generator().manual_seed(5))
    other = augment(pictures, torch.Generator().manual_seed(6))
    assert one.shape == (6, 3, 64, 64)
    assert one.dtype == torch.float32
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(one, two)
    assert (one - other).abs().mean() > 0.05


def test_what_is_transparent_becomes_ground() -> None:
    """Of pictures without a visible pixel only the ground is left: about half of the grounds are white."""
    seen = augment(torch.zeros(200, 4, 16, 16), torch.Generator().manual_seed(2))
    white = (seen.mean(dim=(1, 2, 3)) > 0.95).float().mean().item()
    assert 0.4 < white < 0.7
