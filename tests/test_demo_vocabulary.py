"""The byte-pair vocabulary of the demo's model."""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from lakehouse.demo import vocabulary

TOY = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
"""The words of Sennrich et al. 2016, section 3.2."""


def test_the_papers_toy_words() -> None:
    """Worked by hand: "es" and "st" stand 9 times each, "est" 9, "lo" 7; ties go by the alphabet."""
    learned = vocabulary.learn(TOY, 4)
    assert learned == [("e", "s"), ("es", "t</w>"), ("l", "o"), ("e", "w")]


def test_no_more_merges_than_there_are() -> None:
    assert vocabulary.learn(["ab"], 100) == [("a", "b</w>")]
    assert vocabulary.learn([], 100) == []


def test_the_tokenizer_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "bpe.txt.gz"
    learned = vocabulary.learn(TOY, 100)
    vocabulary.write(learned, path)
    tokenizer = SimpleTokenizer(bpe_path=str(path), context_length=8)
    assert tokenizer.vocab_size == 512 + len(learned) + 2
    assert len(tokenizer.encode("newest widest low lower")) == 4  # every word is whole
    assert gzip.decompress(path.read_bytes()).decode().count("\n") == len(learned)


CARRIED = Path(vocabulary.__file__).parent / "model" / "bpe.txt.gz"
TOKENIZER = SimpleTokenizer(bpe_path=str(CARRIED), context_length=32)


@given(st.text(alphabet=st.characters(categories=["Ll"], max_codepoint=0x2AF), min_size=1, max_size=20))
def test_any_word_survives_the_carried_vocabulary(word: str) -> None:
    clean = TOKENIZER.clean_fn(word)
    assume(clean.isalpha())  # "ŉ" is cleaned to an apostrophe and a letter: two words
    assert TOKENIZER.decode(TOKENIZER.encode(word)).strip() == clean


def test_the_carried_vocabulary_holds_words_of_every_script() -> None:
    for word in ("apple", "яблоко", "リンゴ", "青苹果", "çilek"):
        assert len(TOKENIZER.encode(word)) <= 4, word
