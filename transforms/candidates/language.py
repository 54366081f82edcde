"""The language of a text, by CLD3 called the way LAION called it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from transforms.candidates.rules import CandidateRules

# One identifier per thread: it keeps state while it looks at a text, and gives up the interpreter lock
_local = threading.local()


def identifier(rules: CandidateRules) -> Callable[[str], tuple[str | None, float]]:
    """A function from a text to (language, probability).

    The language is a BCP 47 code without its script ("zh" for "zh-Latn"), None where CLD3 does not call
    its answer reliable; the probability, 0 to 1, is kept in both cases.
    """
    import gcld3

    limits = rules.language_min_bytes, rules.language_max_bytes
    if getattr(_local, "limits", None) != limits:
        _local.find = gcld3.NNetLanguageIdentifier(*limits).FindLanguage
        _local.limits = limits
    find = _local.find

    def identify(text: str) -> tuple[str | None, float]:
        result = find(text)
        return (result.language.partition("-")[0] if result.is_reliable else None), result.probability

    return identify
