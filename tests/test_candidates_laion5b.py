"""The preset laion5b gives what LAION's own order of operations gives, difference by difference.

The known answers come from a plain implementation of that order (rvencu/crawlingathome-gpu-hcloud, ccpp.py):
whole lines parsed as JSON, pandas writing CSV with tabs, and what Postgres' COPY reads from that.
"""

from __future__ import annotations

import gzip
import io
import json
import posixpath
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlparse

import ftfy
import gcld3
import pandas as pd
import pytest
from crawl_units import SHARED, WAT, counts, data, drops, units
from test_candidates_crawl_files import images

from transforms.candidates import PRESETS, extract

RULES = PRESETS["laion5b"]
SITE = "http://site.test/dir/page.html"
Row = tuple[str, str, str, str, str]


def plain(lines: list[bytes]) -> list[Row]:
    """(url, text, licence, domain, language), as LAION's tables have them, of the lines of a WAT file."""
    detector = gcld3.NNetLanguageIdentifier(min_num_bytes=5, max_num_bytes=2000)
    rows, seen = [], set()
    for line in lines:
        if b"IMG@" not in line:
            continue
        envelope = json.loads(line)["Envelope"]
        base = posixpath.dirname(envelope["WARC-Header-Metadata"]["WARC-Target-URI"])
        license = "?"
        for link in envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"]:
            if "creativecommons.org/licenses/" in link.get("url", ""):
                license = link["url"][0:80].replace("\n", "").replace("\\", "\\\\")
            url = link.get("url", "")[0:2000].replace("\n", "").replace("\\", "\\\\")
            if not like_django(url) or any(x in url for x in (".svg", ".gif", "data:image", "javascript:")):
                continue
            domain = urlparse(url).hostname
            if not domain or len(domain) > 60:
                continue
            text = ftfy.fix_text(link.get("alt", "").replace("\n", " ")).strip()
            text = "".join(c for c in text if c.isprintable())
            found = detector.FindLanguage(text)
            language = found.language.split("-")[0] if found.is_reliable else ""
            if len(text) < 5:
                continue
            text = text[0:2000].replace("\t", " ").replace("\\", "\\\\").replace("|", " ")
            url = url if url.startswith("http") else urljoin(base, url)
            if url not in seen:
                seen.add(url)
                rows.append((url, text, license, domain, language))
    return copied(rows)


def like_django(url: str) -> bool:
    """The validator on the links of these tests, none of which is odd in another way."""
    parts = urlparse(url)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https", "ftp", "ftps") and "." in host and not any(map(str.isspace, url))


def copied(rows: list[Row]) -> list[Row]:
    """What Postgres' COPY, which knows tabs and backslashes but no quotes, reads of pandas' CSV."""
    text = io.StringIO()
    pd.DataFrame(rows).to_csv(text, sep="\t", index=False, header=False)
    return [tuple(line.replace("\\\\", "\\").split("\t")) for line in text.getvalue().splitlines()]


def ours(path: Path | str) -> list[Row]:
    """The same columns of what `extract` makes of a WAT file under the preset."""
    names = ("url", "text", "license", "host", "language")
    blank = {"license": "?", "language": ""}
    rows = data(extract(units(("u", path, "wat", 0)), RULES))
    return [tuple(blank.get(n) if row[n] is None else row[n] for n in names) for row in rows]


def line(links: list[dict[str, Any]], page: str = SITE, head: dict[str, Any] | None = None) -> bytes:
    """A page's line in a WAT file."""
    html = {"Head": head or {}, "Links": links}
    return json.dumps(
        {
            "Envelope": {
                "WARC-Header-Metadata": {"WARC-Target-URI": page},
                "Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": html}},
            }
        },
        separators=(",", ":"),
    ).encode()


def wat(folder: Path, lines: list[bytes], page: str = SITE) -> Path:
    """A WAT file of those lines."""
    path = folder / "made.warc.wat.gz"
    head = f"WARC/1.0\r\nWARC-Type: metadata\r\nWARC-Target-URI: {page}\r\nContent-Type: application/json\r\n"
    records = (head.encode() + b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(body), body) for body in lines)
    path.write_bytes(b"".join(map(gzip.compress, records)))
    return path


def img(url: str, alt: str = "a red apple on a table", **more: Any) -> dict[str, Any]:
    return {"path": "IMG@/src", "url": url, "alt": alt, **more}


CASES = {
    "relative links are lost": [img("/a.jpg"), img("b.jpg"), img("//site.test/c.jpg"), img("http://s.test/d.jpg")],
    "any link with an alt text": [
        {"path": "AREA@/href", "url": "http://site.test/map.html", "alt": "the way to our shop"},
        img("http://site.test/a.jpg"),
        {"path": "IMG@/src", "url": "http://site.test/b.jpg"},
        {"path": "A@/href", "url": "http://site.test/c.jpg", "text": "no alt text"},
    ],
    "a licence holds for what follows": [
        img("http://site.test/a.jpg"),
        {"path": "A@/href", "url": f"https://share.test/?u=creativecommons.org/licenses/by/4.0/{'x' * 60}"},
        img("http://site.test/b.jpg"),
        img("http://site.test/c.jpg"),
        img("http://creativecommons.org/licenses/by.png"),
        img("http://site.test/d.jpg"),
    ],
    "substrings anywhere": [
        img("http://www.gifts.test/a.jpg"),
        img("http://www.test.gifts.test/a.jpg"),
        img("http://site.test/a.gif.jpg"),
        img("http://site.test/a.GIF"),
        img("http://site.test/?next=javascript:void"),
        img("http://site.test/logo.svg"),
        img("data:image/png;base64,AAAA"),
    ],
    "one row per URL": [
        img("http://site.test/a.jpg", "bad"),
        img("http://site.test/a.jpg", "the first that is long enough"),
        img("http://site.test/a.jpg", "another text of the same picture"),
    ],
    "URLs are cut": [img(f"http://site.test/{'a' * 3000}.jpg"), img(f"http://site.test/{'a' * 3000}.png")],
    "texts are cut": [img("http://site.test/a.jpg", "word " * 500)],
    "&amp; stays": [img("http://site.test/a.php?b=1&amp;c=2")],
    "quotes as CSV has them": [
        img("http://site.test/a.jpg", 'a 5" screen'),
        img("http://site.test/b.jpg", '"quoted"'),
        img("http://site.test/c.jpg", 'a &quot;quoted&quot; | \t word'),
    ],
    "backslashes": [img("http://site.test/a\\b.jpg", "back\\slash \\N text")],
    "host names": [img(f"http://{'a' * 55}.test/a.jpg"), img(f"http://{'a' * 56}.test/a.jpg")],
    "other schemes": [
        img("ftp://site.test/a.jpg"),
        img("HTTP://Site.test/A.jpg"),
        img("gopher://site.test/a.jpg"),
    ],
    "trackers and spacers": [img("http://counter.yadro.ru/hit"), img("http://site.test/spacer.png")],
    "texts in their order": [
        img("http://site.test/a.jpg", "  spaces\u00a0and\u200btabs\tgo  "),
        img("http://site.test/b.jpg", "cafÃ© &amp; bar &lt;3"),
        img("http://site.test/c.jpg", "\n\nfour\n"),
        img("http://site.test/d.jpg", "der kleine Hund läuft über die Straße"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_laion_did(name: str, tmp_path: Path) -> None:
    lines = [line(CASES[name], head={"Base": "http://base.test/"})]
    expected = plain(lines)
    assert expected
    assert ours(wat(tmp_path, lines)) == expected


def test_pages_one_after_the_other(tmp_path: Path) -> None:
    lines = [line(links) for links in CASES.values()]
    assert ours(wat(tmp_path, lines)) == plain(lines)


def test_a_real_file() -> None:
    """Five real pages: LAION's rules keep their visitor counters and lose their only picture with a text."""
    path = WAT / "cc-main-2016-50.repaired.warc.wat.gz"
    rows = ours(path)
    assert rows == plain(gzip.decompress(path.read_bytes()).splitlines())
    assert Counter(row[3] for row in rows) == {"counter.yadro.ru": 5, "c.hit.ua": 5, "c.bigmir.net": 1}
    assert sum("&amp;" in row[0] for row in rows) == 6
    (picture,) = data(extract(units(("u", path, "wat", 0)), PRESETS["pairlake"]))
    assert picture["url"] == "http://08.od.ua/cache/f/d/8/8/2c2f3c849bdd6b13c48d2f04356e.jpg"


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    lines = [line(links) for links in CASES.values()]
    frame = extract(units(("u", wat(tmp_path, lines), "wat", 0)), RULES)
    asked = [e for links in CASES.values() for e in links if "alt" in e or e["path"] == "IMG@/src"]
    assert counts(frame)["in"] == len(asked)
    assert drops(frame) == {
        "relative_url": 3,
        "no_alt": 1,
        "excluded_format": 5,
        "data_url": 1,
        "scheme": 1,
        "host": 1,
        "short_text": 2,
        "same_url": len(asked) - 14 - len(data(frame)),
    }


def test_single_rules_change_a_preset(tmp_path: Path) -> None:
    path = wat(tmp_path, [line(CASES["trackers and spacers"])])
    rules = replace(RULES, tracking_hosts=PRESETS["pairlake"].tracking_hosts)
    assert drops(extract(units(("u", path, "wat", 0)), rules)) == {"tracking_pixel": 1}
    rules = replace(PRESETS["pairlake"], tracking_paths=(), tracking_hosts=(), excluded_extensions=())
    frame = extract(units(("u", wat(tmp_path, [line([img("a.gif"), img("spacer.png")])]), "wat", 0)), rules)
    assert [row["url"] for row in data(frame)] == [
        "http://site.test/dir/a.gif",
        "http://site.test/dir/spacer.png",
    ]
    rules = replace(rules, excluded_substrings=(".gif",))
    assert drops(extract(units(("u", tmp_path / "made.warc.wat.gz", "wat", 0)), rules)) == {
        "excluded_format": 1
    }


def test_a_broken_line_loses_itself_alone(tmp_path: Path) -> None:
    """In ccpp.py each of these ended the whole file."""
    good = line([img("http://site.test/a.jpg")])
    odd = line([img("http://site.test/\ud800.jpg"), {**img(""), "url": None}, img("http://site.test/b.jpg")])
    path = wat(tmp_path, [good[:-3], odd, good])
    frame = extract(units(("u", path, "wat", 0)), RULES)
    assert [row["url"] for row in data(frame)] == ["http://site.test/a.jpg", "http://site.test/b.jpg"]
    assert drops(frame) == {"bad_url": 1, "no_url": 1, "same_url": 1}


def test_a_warc_file() -> None:
    """LAION read none: the pictures of the pages, by the same rules."""
    path = WAT / "archive-org-2008.warc.gz"
    frame = extract(units(("u", path, "warc", 0)), RULES)
    with_alt = [image for image in images(path) if (image.get("alt") or "").strip()]
    relative = [image for image in with_alt if ":" not in image["src"]]
    assert (drops(frame)["no_alt"], len(with_alt)) == (192, 666)
    assert drops(frame)["relative_url"] == len(relative) == 632
    assert {row["url"] for row in data(frame)} <= {image["src"] for image in with_alt}
    assert "http://creativecommons.org/licenses/by-nc-nd/3.0/" in {row["license"] for row in data(frame)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="LAION's published rows are not in this checkout")
def test_published_rows_are_of_this_form() -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(SHARED / "laion" / "laion_rows_1000.parquet", columns=["URL", "TEXT"]).to_pylist()
    quoted = [row["TEXT"] for row in rows if '"' in row["TEXT"]]
    assert len(quoted) == 27
    for text in quoted:
        assert text[0] == text[-1] == '"'
        assert '"' not in text[1:-1].replace('""', "")
    assert sum("&amp;" in row["URL"] for row in rows) == 16
