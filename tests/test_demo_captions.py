"""The demo's captions: twelve languages that CLD3 tells reliably, long enough for LAION's rule."""

from __future__ import annotations

from collections import Counter

import gcld3
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.demo.pages import build
from lakehouse.demo.pictures import carried
from lakehouse.demo.sentences import SENTENCES, sentence


def test_cld3_is_right_and_sure_about_most_sentences() -> None:
    """As LAION called it: NNetLanguageIdentifier(5, 2000), only where it is reliable."""
    detector = gcld3.NNetLanguageIdentifier(min_num_bytes=5, max_num_bytes=2000)
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in build().truth.to_pylist():
        if row["kind"] in ("right", "wrong", "second"):
            found = detector.FindLanguage(row["text"])
            seen[row["language"]] += 1
            right[row["language"]] += found.is_reliable and found.language.split("-")[0] == row["language"]
    assert len(seen) == 12
    shares = {language: right[language] / seen[language] for language in seen}
    assert sum(right.values()) / sum(seen.values()) > 0.95, shares
    assert min(shares.values()) > 0.8, shares


def test_every_sentence_is_long_enough_and_holds_the_name() -> None:
    for picture in carried():
        assert set(picture.names) == set(SENTENCES)
        for language, name in picture.names.items():
            for which, form in enumerate(SENTENCES[language]):
                text = sentence(language, name, which)
                assert name in text
                assert len(text) >= 5
                assert form.count("{}") == 1


@given(st.integers(min_value=0), st.sampled_from(sorted(SENTENCES)))
def test_the_sentences_take_turns(which: int, language: str) -> None:
    assert sentence(language, "x", which) == sentence(language, "x", which + len(SENTENCES[language]))
