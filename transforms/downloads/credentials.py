"""What a picture's own Content Credentials (C2PA) say about its use for training.

The assertions `c2pa.training-mining` (C2PA specification 1.4, section 19.20) and `cawg.training-mining`
(CAWG training and data mining assertion 1.1) have entries such as `ai_training`, each with a `use`: allowed,
notAllowed or constrained. An opt-out needs no proof of who it is from, so signatures are not verified; and
nothing is fetched that a file refers to.
"""

from __future__ import annotations

import io
import json

from transforms.downloads.container import has_jumbf

_LABEL = b"training-mining"  # stands uncompressed in each file that has such an assertion
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_OFFLINE = {"verify": {"verify_after_reading": False, "remote_manifest_fetch": False, "ocsp_fetch": False}}
_CHARS = 60  # of an entry's name and of its use are stored: specified ones have under 30

REFUSALS = frozenset(
    f"c2pa: {entry}: notallowed" for entry in ("ai_training", "ai_generative_training", "data_mining")
)
"""The signals that refuse this use."""


def training_signals(data: bytes, name: str | None) -> list[str]:
    """The entries of a picture file's training assertions, such as "c2pa: ai_training: notallowed".

    `name` is the file's format. What cannot be read says nothing but "c2pa: unreadable".
    """
    if name not in _TYPES or not has_jumbf(data, name) or _LABEL not in data:
        return []
    from c2pa import C2paError, Context, Reader, Settings  # 0.2 s, for few files

    try:
        with Reader(_TYPES[name], io.BytesIO(data), context=Context(Settings.from_dict(_OFFLINE))) as reader:
            manifests = json.loads(reader.json())
    except (C2paError, ValueError):
        return ["c2pa: unreadable"]
    active = manifests.get("manifests", {}).get(manifests.get("active_manifest"), {})
    found = [
        f"c2pa: {_plain(entry.rpartition('.')[2])}: {_plain(said.get('use'))}"
        for assertion in active.get("assertions", [])
        if str(assertion.get("label")).partition("__")[0].endswith(".training-mining")
        for entry, said in _entries(assertion)
    ]
    return list(dict.fromkeys(found))


def _entries(assertion: dict[str, object]) -> list[tuple[str, dict[str, object]]]:
    data = assertion.get("data")
    entries = data.get("entries") if isinstance(data, dict) else None
    if not isinstance(entries, dict):
        return []
    return [(str(entry), said) for entry, said in entries.items() if isinstance(said, dict)]


def _plain(value: object) -> str:
    return "".join(char for char in str(value)[:_CHARS].lower() if char.isascii() and char.isprintable())
