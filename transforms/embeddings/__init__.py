"""Embeddings: what a CLIP model makes of each picture and its caption."""

from transforms.embeddings.batches import (
    ENGLISH,
    GPU,
    EmbeddingRules,
    UnreadablePictureError,
    embed_images,
    embed_partition,
    embed_texts,
    embeddings,
)
from transforms.embeddings.errors import ModelUnavailable
from transforms.embeddings.model import BUILTIN, ModelSpec, dimension, load

__all__ = [
    "BUILTIN",
    "ENGLISH",
    "GPU",
    "EmbeddingRules",
    "ModelSpec",
    "ModelUnavailable",
    "UnreadablePictureError",
    "dimension",
    "embed_images",
    "embed_partition",
    "embed_texts",
    "embeddings",
    "load",
]
