"""LAION's cleaning of an alt text, in LAION's order: its result is half of the join key."""

from __future__ import annotations

import ftfy

from transforms.candidates.rules import CandidateRules


def clean(raw: str, rules: CandidateRules) -> str | None:
    """The text that language is told from; None where it is too short.

    rvencu/crawlingathome-gpu-hcloud, ``ccpp.py``: line feeds to spaces, `ftfy.fix_text`, strip, printable
    characters only (so tabs and no-break spaces vanish), at least 5 characters.
    """
    text = raw[: rules.max_raw_text_chars].replace("\n", " ")
    # ASCII without entities and control characters is what ftfy leaves alone
    if not (text.isascii() and text.isprintable() and "&" not in text):
        text = ftfy.fix_text(text)
    text = text.strip()
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text if len(text) >= rules.min_text_chars else None


def cut(text: str, rules: CandidateRules) -> str:
    """What the candidate keeps of a cleaned text: the first 2,000 characters, ``|`` to space.

    With `rules.quote_texts`, one that has a ``"`` as CSV writes it: LAION wrote its rows as CSV, and
    Postgres' COPY took the quotes for text.
    """
    text = text[: rules.max_text_chars].replace("|", " ")
    return '"' + text.replace('"', '""') + '"' if rules.quote_texts and '"' in text else text
