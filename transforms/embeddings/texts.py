"""Captions to tokens to features: the text tower of a model of open_clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from transforms.embeddings.device import Device, Places, Vectors

#: open_clip's tokenizer remembers every word it has met; a web's worth of words would fill the memory.
TOKENIZER_MEMORY = 100_000


class TextTower(Protocol):
    """What turns captions into features."""

    def tokens(self, texts: Sequence[str]) -> Any:
        """The tokens of texts cut to the tower's context, a tensor int64 [n, L], padded to one L."""

    def lengths(self, tokens: Any) -> npt.NDArray[np.int64]:
        """How many tokens of each row decide about its features; those behind may be left away."""

    def encode(self, tokens: Any) -> Any:
        """The features of tokens [n, l] that were cut to the longest length among them."""


def encode_texts(
    tower: TextTower, texts: Sequence[str], size: int, dimension: int, device: Device
) -> Vectors:
    """Vectors of `texts`, float32 [n, dimension], of length 1 or NaN, in batches of `size`.

    Captions of like length share a batch, which is cut to its longest: a caption has some 15 tokens, the
    context 77.
    """
    import torch

    if not texts:
        return np.empty((0, dimension), np.float32)
    tokens = torch.cat([tower.tokens(texts[start : start + size]) for start in range(0, len(texts), size)])
    lengths = tower.lengths(tokens)

    def batches(wanted: Places) -> Iterator[tuple[Places, Any]]:
        ordered = wanted[np.argsort(lengths[wanted], kind="stable")]
        for start in range(0, len(ordered), size):
            places = ordered[start : start + size]
            yield places, device.stack(tokens[place, : lengths[places[-1]]] for place in places)

    return device.vectors(tower.encode, batches, (len(texts), dimension))


class OpenClipTexts:
    """The text tower of a network of open_clip, with its tokenizer."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._cut = is_cut_at_its_end(network)
        self._pad = getattr(getattr(getattr(network, "text", None), "config", None), "pad_token_id", None)

    def tokens(self, texts: Sequence[str]) -> Any:
        """See `TextTower`."""
        tokens = self._tokenizer(list(texts))
        cache = getattr(self._tokenizer, "cache", None)
        if cache is not None and len(cache) > TOKENIZER_MEMORY:
            special = self._tokenizer.all_special_ids
            self._tokenizer.cache = {self._tokenizer.decoder[i]: self._tokenizer.decoder[i] for i in special}
        return tokens

    def lengths(self, tokens: Any) -> npt.NDArray[np.int64]:
        """Up to the end of text where that is what is pooled, to the padding where it is masked, else all."""
        if self._cut:
            return tokens.argmax(dim=1).numpy() + 1  # type: ignore[no-any-return]
        if self._pad is not None:
            return filled(tokens != self._pad)
        return np.full(len(tokens), tokens.shape[1], np.int64)

    def encode(self, tokens: Any) -> Any:
        """See `TextTower`."""
        return encode_to_end(self._network, tokens) if self._cut else self._network.encode_text(tokens)


def filled(mask: Any) -> npt.NDArray[np.int64]:
    """The place behind the last true element of each row of `mask`, a tensor bool [n, L]; at least 1."""
    import torch

    places = torch.arange(1, mask.shape[1] + 1)
    return (mask * places).amax(dim=1).clamp(min=1).numpy()  # type: ignore[no-any-return]


def is_cut_at_its_end(network: Any) -> bool:
    """Whether the network's texts are pooled at their end, and no token sees those behind it, as in CLIP."""
    import open_clip

    return (
        isinstance(network, open_clip.CLIP)
        and network.text_pool_type == "argmax"
        and network.attn_mask is not None
    )


def encode_to_end(network: Any, tokens: Any) -> Any:
    """What `open_clip.CLIP.encode_text` gives, which itself takes whole contexts alone."""
    import torch

    length = tokens.shape[1]
    x = network.token_embedding(tokens) + network.positional_embedding[:length]
    x = network.transformer(x, attn_mask=network.attn_mask[:length, :length])
    x = network.ln_final(x[torch.arange(len(x), device=x.device), tokens.argmax(dim=-1)])
    projection = network.text_projection
    if projection is None:
        return x
    return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection
