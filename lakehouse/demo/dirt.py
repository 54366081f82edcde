"""What is broken, slow, forbidden or odd in the demo's web, each kind on a page of its own.

Every link here has a caption that fits its picture, so that what becomes of it depends on the fault alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ftfy

from lakehouse.demo.pictures import Picture, carried
from lakehouse.demo.sentences import SENTENCES, sentence
from lakehouse.demo.sites import Answer, Link, Page

Answers = dict[tuple[str, str], Answer]

SLOW_SECONDS = 0.4
"""A slow answer that comes: under every sensible deadline."""

STUCK_SECONDS = 120.0
"""An answer that comes after every sensible deadline (LAION-5B's dbdl.py read for 10 seconds)."""

NO_PICTURE = b"<!DOCTYPE html><html><body><h1>Please sign in to see this picture</h1></body></html>" * 80


def dirty(pictures: list[Picture]) -> tuple[list[Page], Answers]:
    """The pages with the faults, and the answers behind their links."""
    supply = Supply(pictures)
    answers: Answers = {("closed.test", "/robots.txt"): CLOSED}
    pages = []
    for make in FAULTS:
        links = tuple(make(supply, answers))
        name = make.__name__.removeprefix("_").replace("_", "-")
        pages.append(Page(f"http://attic.test/{name}.html", name.replace("-", " "), "en", links))
    return pages, answers


CLOSED = Answer(media_type="text/plain", body=b"User-agent: *\nDisallow: /\n")


class Supply:
    """Hands out pictures with right captions, from the last to the first, the languages taking turns."""

    def __init__(self, pictures: list[Picture]) -> None:
        self._pictures: Iterator[tuple[int, Picture]] = enumerate(reversed(pictures))

    def take(self, language: str | None = None, which: int | None = None) -> tuple[Picture, str, str]:
        """The next picture, a right caption for it, in this language and form if told, and its language."""
        index, picture = next(self._pictures)
        language = language or tuple(SENTENCES)[index % len(SENTENCES)]
        text = sentence(language, picture.names[language], index if which is None else which)
        return picture, ftfy.fix_text(text), language


def _served(picture: Picture) -> Answer:
    return Answer(media_type=picture.media_type, body=picture.data)


def _links(
    supply: Supply,
    answers: Answers,
    kind: str,
    where: str,
    count: int,
    answer: Callable[[Picture], Answer],
) -> Iterator[Link]:
    """Links of one kind to new files under `where` (host and folder), each with a right caption.

    They are right even where no picture comes: `right` speaks of the caption, the status of the answer.
    """
    for _ in range(count):
        picture, text, language = supply.take()
        host, folder = where.split("/", 1)
        answers[host, f"/{folder}/{picture.file_name}"] = answer(picture)
        url = f"http://{where}/{picture.file_name}"
        yield Link(url, text, kind, url, text, language, True)


def _lost(supply: Supply, answers: Answers) -> Iterator[Link]:
    gone = Answer(404, body=b"<h1>404 Not Found</h1>")
    broken = Answer(500, body=b"<h1>500 Internal Server Error</h1>")
    yield from _links(supply, answers, "404", "gone.test/lost", 8, lambda _: gone)
    yield from _links(supply, answers, "500", "gone.test/broken", 2, lambda _: broken)


def _pretending(supply: Supply, answers: Answers) -> Iterator[Link]:
    page, lie = Answer(body=NO_PICTURE), Answer(media_type="image/jpeg", body=NO_PICTURE)
    yield from _links(supply, answers, "html", "gone.test/members", 3, lambda _: page)
    yield from _links(supply, answers, "html", "gone.test/photos", 1, lambda _: lie)


def _damaged(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Half of a JPEG that is long enough to stay above LAION's 5,000 bytes; and a connection that breaks."""
    turned = carried("turned")[0]
    half = Answer(media_type="image/jpeg", body=turned.data[: len(turned.data) // 2])
    for number in range(3):
        path = f"/half/{number}-{turned.file_name}"
        answers["gone.test", path] = half
        language = ("en", "de", "fr")[number]
        text = ftfy.fix_text(sentence(language, turned.names[language], number))
        url = f"http://gone.test{path}"
        yield Link(url, text, "half a JPEG", url, text, language, True)
    yield from _links(
        supply,
        answers,
        "cut off",
        "gone.test/cut",
        1,
        lambda p: Answer(media_type=p.media_type, body=p.data, cut=len(p.data) // 2),
    )


def _guarded(supply: Supply, answers: Answers) -> Iterator[Link]:
    """An artist who opts out by header, and a host whose robots.txt forbids everything."""
    header = (("X-Robots-Tag", "noai, noimageai"),)
    yield from _links(
        supply,
        answers,
        "opt-out",
        "artist.test/works",
        5,
        lambda p: Answer(media_type=p.media_type, body=p.data, headers=header),
    )
    yield from _links(supply, answers, "robots.txt", "closed.test/private", 6, _served)


def _slow(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Answers that come late, and one that comes too late."""

    def after(seconds: float) -> Callable[[Picture], Answer]:
        return lambda picture: Answer(media_type=picture.media_type, body=picture.data, wait=seconds)

    yield from _links(supply, answers, "slow", "slow.test/slow", 3, after(SLOW_SECONDS))
    yield from _links(supply, answers, "stuck", "slow.test/stuck", 1, after(STUCK_SECONDS))


def _moved(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Pictures that have moved, and one whose two addresses point to each other."""

    def moved(picture: Picture) -> Answer:
        path = f"/new/{picture.file_name}"
        answers["pictures.emoji.test", path] = _served(picture)
        return Answer(301, headers=(("Location", f"http://pictures.emoji.test{path}"),))

    yield from _links(supply, answers, "moved", "old.test/pictures", 4, moved)
    there, back = "http://old.test/there.jpg", "http://old.test/back.jpg"
    answers["old.test", "/there.jpg"] = Answer(302, headers=(("Location", back),))
    answers["old.test", "/back.jpg"] = Answer(302, headers=(("Location", there),))
    _, text, language = supply.take()
    yield Link(there, text, "redirect loop", there, text, language, True)


def _unfetchable(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Sources that no crawler of LAION's kind follows."""
    sources = [
        ("data URL", "data:image/png;base64,iVBORw0KGgo="),
        ("data URL", "data:image/gif;base64,R0lGODlhAQABAAAAACw="),
        ("javascript URL", "javascript:showPicture()"),
        ("svg", "http://shop.test/logo.svg"),
        ("svg", "/drawings/tree.svg?download=1"),
        ("gif", "http://blog.test/dancing.gif"),
        ("gif", "//forum.test/smile.gif"),
        ("long host", f"http://{'a-very-long-name.' * 4}shop.test/picture.jpg"),
        ("tracking pixel", "http://forum.test/pixel.png?visitor=17"),
        ("no source", ""),
    ]
    for kind, src in sources:
        _, text, language = supply.take()
        yield Link(src, text, kind, None, text, language)


def _odd_texts(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Captions that have to be repaired, and some that nobody should train on."""
    for kind, language, which, spoil in (
        ("mojibake", "fr", 3, lambda text: text.encode().decode("latin-1")),
        ("line breaks", "en", 1, lambda text: text.replace(" ", "\n", 2)),
        ("entities", "de", 1, lambda text: text.replace("ü", "&uuml;")),
        ("overlong", "en", 2, lambda text: " ".join([text] * 60)),
        ("rude", "en", 0, lambda text: f"You stupid idiot, this is crap: {text}"),
    ):
        picture, text, _ = supply.take(language, which)
        alt = spoil(text)
        url = f"http://attic.test/texts/{picture.file_name}"
        answers["attic.test", f"/texts/{picture.file_name}"] = _served(picture)
        clean = {"overlong": alt[:2000], "rude": alt}.get(kind, text)
        yield Link(url, alt, kind, url, clean, language, True)


def _odd_pictures(supply: Supply, answers: Answers) -> Iterator[Link]:
    """Icons under LAION's 5,000 bytes, and JPEGs that lie on their side with EXIF saying so."""
    del supply
    for form, kind in (("small", "icon"), ("turned", "turned")):
        for index, picture in enumerate(carried(form)):
            language = tuple(SENTENCES)[index % len(SENTENCES)]
            text = ftfy.fix_text(sentence(language, picture.names[language], index))
            answers["attic.test", f"/{form}/{picture.file_name}"] = _served(picture)
            url = f"http://attic.test/{form}/{picture.file_name}"
            yield Link(url, text, kind, url, text, language, True)


FAULTS = (_lost, _pretending, _damaged, _guarded, _slow, _moved, _unfetchable, _odd_texts, _odd_pictures)
"""One page each, in this order; each takes its pictures from the supply and adds its answers."""
