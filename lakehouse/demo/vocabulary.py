"""A byte-pair vocabulary learned from captions, in the form that `open_clip.SimpleTokenizer` reads.

Sennrich et al. 2016 (Neural Machine Translation of Rare Words with Subword Units, algorithm 1) over the
same words and the same bytes-as-characters alphabet as OpenAI's tokenizer, so that the file takes the place
of CLIP's own.
"""

from __future__ import annotations

import gzip
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

Pair = tuple[str, str]


def learn(texts: Iterable[str], merges: int) -> list[Pair]:
    """The first `merges` byte-pair merges of `texts`, most frequent first; fewer if all words are whole.

    Ties go to the pair that sorts first, so that the vocabulary depends on the texts alone.
    """
    counts = _word_counts(texts)
    words = [list(word) for word in counts]
    weights = list(counts.values())
    totals: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            totals[pair] += weights[index]
            where[pair].add(index)
    # A heap of (-count, pair); an entry whose count has changed since is passed over
    heap = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(heap)
    learned: list[Pair] = []
    while len(learned) < merges and heap:
        total, best = heapq.heappop(heap)
        if total == 0 or totals[best] != -total:
            continue
        learned.append(best)
        changed: set[Pair] = set()
        for index in where.pop(best):
            before, after = words[index], _merged(words[index], best)
            for word, sign in ((before, -1), (after, 1)):
                for pair in pairwise(word):
                    totals[pair] += sign * weights[index]
                    changed.add(pair)
            for pair in pairwise(after):
                where[pair].add(index)
            words[index] = after
        for pair in changed:
            heapq.heappush(heap, (-totals[pair], pair))
    return learned


def write(learned: list[Pair], path: Path) -> None:
    """Writes the merges, gzipped with no time stamp: one comment line, then a pair a line."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in learned)]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def _word_counts(texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often each word stands in the texts, split and spelled as the tokenizer does it."""
    from open_clip.tokenizer import SimpleTokenizer

    plain = SimpleTokenizer(context_length=77)
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        for token in plain.pat.findall(plain.clean_fn(text)):
            letters = [plain.byte_encoder[byte] for byte in token.encode()]
            counts[(*letters[:-1], letters[-1] + "</w>")] += 1
    return counts


def _merged(word: list[str], pair: Pair) -> list[str]:
    """The word with every `pair` in it joined, from left to right."""
    joined: list[str] = []
    at = 0
    while at < len(word):
        if at + 1 < len(word) and (word[at], word[at + 1]) == pair:
            joined.append(word[at] + word[at + 1])
            at += 2
        else:
            joined.append(word[at])
            at += 1
    return joined
