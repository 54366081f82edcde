"""The demo's web: a magazine, a shop, a blog and a forum that show 400 emoji, as dirty as the real web.

`build()` gives the same web every time: nothing is drawn by chance, and all hosts end in `.test`, which RFC
6761 keeps out of the real one.
"""

from __future__ import annotations

from collections import defaultdict

import ftfy

from lakehouse.demo import dirt
from lakehouse.demo.pictures import Picture, carried
from lakehouse.demo.sentences import SENTENCES, sentence
from lakehouse.demo.sites import Answer, Link, Page, Web

LANGUAGES = tuple(SENTENCES)
CDN = "pictures.emoji.test"
LICENSE = "https://creativecommons.org/licenses/by/4.0/"


def build() -> Web:
    """The whole web: its pages in crawl order, and what each host answers."""
    pictures = carried()
    dirty, answers = dirt.dirty(pictures)
    pages = [*_clean(pictures), *_forum(pictures), *dirty]
    for index, picture in enumerate(pictures):
        answers[_place(picture, index)] = Answer(media_type=picture.media_type, body=picture.data)
    for page in pages:
        answers[_split(page.url)] = Answer(body=page.html)
    for host in sorted({host for host, _ in answers}):
        answers.setdefault((host, "/robots.txt"), _robots("Allow: /"))
    return Web(tuple(pages), answers)


def caption(pictures: list[Picture], index: int, language: str, which: int) -> str:
    """The name of a picture in a sentence, in the plain characters that ftfy leaves alone."""
    return ftfy.fix_text(sentence(language, pictures[index].names[language], which))


def picture_url(picture: Picture, index: int) -> str:
    """Where the picture at this place of the carried ones is served."""
    host, path = _place(picture, index)
    return f"http://{host}{path}"


def _place(picture: Picture, index: int) -> tuple[str, str]:
    """Half of the pictures lie on a host of their own, the rest in the shop and in the blog."""
    if index % 4 == 2:
        return "shop.test", f"/img/{picture.file_name}?w=256&v=2"
    if index % 4 == 3:
        return "blog.test", f"/media/{picture.file_name}"
    return CDN, f"/256/{picture.file_name}"


def _split(url: str) -> tuple[str, str]:
    host, _, path = url.removeprefix("http://").partition("/")
    return host, f"/{path}"


def _robots(line: str) -> Answer:
    return Answer(media_type="text/plain", body=f"User-agent: *\n{line}\n".encode())


def _clean(pictures: list[Picture]) -> list[Page]:
    """Magazine, shop and blog, a page for each language: each picture once, one in seven misnamed."""
    links: defaultdict[tuple[str, str], list[Link]] = defaultdict(list)
    for index in range(len(pictures)):
        host = {2: "shop.test", 3: "blog.test"}.get(index % 4, "magazine.test")
        language = LANGUAGES[index // 4 % len(LANGUAGES)]
        links[host, language].append(_own(pictures, index, language))
    pages = []
    for (host, language), found in links.items():
        shop, blog = host == "shop.test", host == "blog.test"
        pages.append(
            Page(
                url=f"http://{host}/{language}/{'catalogue.html' if shop else ''}",
                title=host.removesuffix(".test"),
                language=language,
                links=tuple(found),
                base="http://shop.test/img/" if shop else None,
                license=LICENSE if blog and language in ("en", "de", "fr") else None,
            )
        )
    return pages


def _own(pictures: list[Picture], index: int, language: str) -> Link:
    """A picture on its own page: absolute, without scheme, within the host, or relative to `<base>`."""
    url = picture_url(pictures[index], index)
    host, path = _split(url)
    src = {0: url, 1: f"//{host}{path}", 2: path.removeprefix("/img/"), 3: path}[index % 4]
    right = index % 7 != 3
    shown = index if right else (index + 137) % len(pictures)
    text = caption(pictures, shown, language, index // 3)
    return Link(src, text, "right" if right else "wrong", url, text, language, right)


def _forum(pictures: list[Picture]) -> list[Page]:
    """Threads that show pictures again: in other words, in wrong ones, in none, or just as they were."""
    threads = [
        ("second", 7, 1, "another right caption, in another language"),
        ("wrong", 10, 5, "somebody else's caption"),
        ("file name", 20, 7, "the camera's file name"),
        ("short", 40, 9, "a name of fewer than five characters"),
        ("no alt", 25, 2, "no alt attribute"),
        ("empty alt", 50, 4, "an empty one"),
        ("duplicate", 20, 13, "the same picture with the same caption as on its own page"),
    ]
    pages = []
    for number, (kind, every, first, title) in enumerate(threads):
        links = [_again(pictures, index, kind) for index in range(first, len(pictures), every)]
        pages.append(Page(f"http://forum.test/thread?id={number}", title, "en", tuple(links)))
    polyglot = tuple(_right(pictures, 0, language, "second") for language in LANGUAGES[1:10])
    return [*pages, Page("http://forum.test/polyglot", "one picture in ten languages", "en", polyglot)]


def _again(pictures: list[Picture], index: int, kind: str) -> Link:
    language = LANGUAGES[(index // 4 + 5) % len(LANGUAGES)]
    url = picture_url(pictures[index], index)
    if kind == "second":
        return _right(pictures, index, language, kind)
    if kind == "wrong":
        text = caption(pictures, (index + 211) % len(pictures), language, index)
        return Link(url, text, kind, url, text, language, False)
    if kind == "file name":
        text = f"IMG_{2000 + index}.JPG"
        return Link(url, text, kind, url, text, None, False)
    if kind == "short":
        return Link(url, pictures[index].names["zh"][:4], kind, url)
    if kind == "duplicate":
        own = _own(pictures, index, LANGUAGES[index // 4 % len(LANGUAGES)])
        return Link(url, own.alt, kind, url, own.text, own.language, own.right)
    return Link(url, "" if kind == "empty alt" else None, kind, url)


def _right(pictures: list[Picture], index: int, language: str, kind: str) -> Link:
    url = picture_url(pictures[index], index)
    text = caption(pictures, index, language, index + 1)
    return Link(url, text, kind, url, text, language, True)
