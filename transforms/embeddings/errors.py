"""What goes wrong with models."""

from __future__ import annotations


class ModelUnavailable(Exception):  # noqa: N818
    """The model's configuration, weights or tokenizer are missing or do not fit together."""
