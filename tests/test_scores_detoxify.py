"""Detoxify's model where its weights are given: the form is tried with random ones, each text alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from checkpoint_folder import write_tokenizer

from transforms.scores import Call

TEXTS = ["a quiet garden", "you", "an angry word of many more letters than the others", "x" * 300]


def test_each_text_alone_gives_the_same(tmp_path: Path) -> None:
    import transformers

    words = write_tokenizer(tmp_path)
    torch.manual_seed(3)
    config = transformers.XLMRobertaConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=140,
        pad_token_id=0,
        num_labels=16,  # as many as Detoxify's multilingual model has
    )
    model = transformers.XLMRobertaForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    call = Call("transforms.scores.detoxify:toxicity", None, str(weights), digest)
    values = call.values(pd.DataFrame({"text": TEXTS}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, value in zip(TEXTS, values, strict=True):
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
        with torch.inference_mode():
            expected = torch.sigmoid(model(**tokens).logits[0, 0]).item()
        np.testing.assert_allclose(value, expected, atol=1e-5)
    assert len(set(values.tolist())) == len(TEXTS)
