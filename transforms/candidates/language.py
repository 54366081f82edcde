"""The language of a text, by CLD3 called the way LAION called it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from transforms.candidates.rules import CandidateRules

# The one of CLD3's codes that IANA's registry of language subtags has replaced
CURRENT = {"iw": "he"}

# One identifier per thread: it keeps state while it looks at a text, and gives up the interpreter lock
_local = threading.local()


def identifier(rules: CandidateRules) -> Callable[[str], tuple[str | None, float]]:
    """A function from a text to (language, probability).

    The language is a code without its script ("zh" for "zh-Latn"), as `rules.language_codes` says, None
    where CLD3 does not call its answer reliable; the probability, 0 to 1, is kept in both cases.
    """
    import gcld3

    limits = rules.language_min_bytes, rules.language_max_bytes
    if getattr(_local, "limits", None) != limits:
        _local.find = gcld3.NNetLanguageIdentifier(*limits).FindLanguage
        _local.limits = limits
    find = _local.find
    replaced = CURRENT if rules.language_codes == "current" else {}

    def identify(text: str) -> tuple[str | None, float]:
        result = find(text)
        if not result.is_reliable:
            return None, result.probability
        language = result.language.partition("-")[0]
        return replaced.get(language, language), result.probability

    return identify
