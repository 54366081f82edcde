"""Planning a graph loads no model library: it starts fast, and a driver may have little memory."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "torch",
    "open_clip",
    "onnxruntime",
    "sklearn",
    "profanity_check",
    "deltalake",
    "lance",
    "duckdb",
    "lakehouse",
}


def test_importing_embeddings_and_scores_is_light() -> None:
    program = "import sys, transforms.embeddings, transforms.scores; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "transforms.scores.heads" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())
