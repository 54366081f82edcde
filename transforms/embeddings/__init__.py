"""Embeddings: what a CLIP model makes of each picture and its caption."""

from transforms.embeddings.batches import (
    EmbeddingRules,
    UnreadablePictureError,
    embed_images,
    embed_partition,
    embed_texts,
    embeddings,
)
from transforms.embeddings.model import BUILTIN, ModelSpec, ModelUnavailable, dimension, load

__all__ = [
    "BUILTIN",
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
