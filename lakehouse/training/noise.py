"""A web that shows pictures with right captions and with the web's faults, at stated rates.

Equal pictures, rates and seed give the same web. What is true of each link is in `Noisy.truth`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import ftfy
import pyarrow as pa

from lakehouse.demo.sentences import SENTENCES, sentence
from lakehouse.demo.sites import Answer, Link, Page, Web
from lakehouse.errors import UsageError
from lakehouse.training.pictures import Picture

PER_PAGE = 50  # pictures of a page

BOILERPLATE = (
    "Click here to enlarge the picture",
    "Click on the image to open it in a new window",
    "Photo courtesy of the author of this page",
    "Please enable JavaScript to see this picture",
    "Our most popular products of this week",
    "Free shipping on all orders over fifty dollars",
    "Share this page with your friends and family",
    "Sign up for our newsletter and never miss an offer",
    "The picture that belongs to this article",
    "Read more about this story on our website",
    "Image not available for this colour",
    "Welcome to the home page of our company",
)
"""Captions that stand under any picture. Written for this package."""

FILE_NAMES = ("IMG_{:04d}.JPG", "DSC{:05d}.jpg", "image-{:04d}-300x300.png", "Screenshot_2021_{:04d}.png")

TRUTH = pa.schema([("url", pa.string()), ("text", pa.string()), ("kind", pa.string()), ("copy", pa.bool_())])
"""What the crawl's truth is written as: `kind` as in `Rates`; `copy`: the picture is another one's copy."""


@dataclass(frozen=True)
class Rates:
    """Shares of links. Set by hand before anything was trained; the real web is worse.

    Of Common Crawl's image-text links LAION-5B kept about one in ten; in LAION-2B about 30 % of pictures are
    near copies of others (Webster et al. 2023, On De-Duplication of LAION-2B).
    """

    right: float = 0.4
    wrong: float = 0.3  # another picture's caption
    boilerplate: float = 0.2
    file_name: float = 0.1
    copies: float = 0.3  # links to a picture's copy: another URL, encoded again at another size or quality
    links: int = 2  # to each picture itself, each with a caption of its own

    def __post_init__(self) -> None:
        if abs(sum(self.kinds().values()) - 1) > 1e-9 or not 0 <= self.copies < 1:
            raise UsageError(f"rates of captions do not sum to 1, or copies are not below 1: {self}")

    def kinds(self) -> dict[str, float]:
        """The kinds of captions and their shares."""
        return {name: getattr(self, name) for name in ("right", "wrong", "boilerplate", "file_name")}


CLEAN = Rates(right=1.0, wrong=0.0, boilerplate=0.0, file_name=0.0, copies=0.0)


@dataclass(frozen=True)
class Noisy:
    """A web, and for each of its links what is true of it (schema `TRUTH`)."""

    web: Web
    truth: pa.Table


def build(pictures: Sequence[Picture], rates: Rates, seed: int = 0) -> Noisy:
    """Pages of links to the pictures and to copies of them, in an order drawn by lot.

    How often a picture is copied is as uneven as on the web: the k-th has about 1/k of the first's copies.
    """
    chance = random.Random(seed)
    shown = [index for index in range(len(pictures)) for _ in range(rates.links)]
    count = round(len(shown) * rates.copies / (1 - rates.copies))
    ranks = list(range(len(pictures)))
    chance.shuffle(ranks)
    copied = chance.choices(ranks, [1 / (k + 1) for k in range(len(ranks))], k=count)
    answers: dict[tuple[str, str], Answer] = {}
    links = [_link(pictures, index, None, rates, chance, answers) for index in shown]
    links += [_link(pictures, index, number, rates, chance, answers) for number, index in enumerate(copied)]
    chance.shuffle(links)
    pages = tuple(
        Page(
            f"http://pages.test/{start // PER_PAGE}.html",
            f"Page {start // PER_PAGE}",
            "en",
            tuple(links[start : start + PER_PAGE]),
        )
        for start in range(0, len(links), PER_PAGE)
    )
    for host in ("pages.test", "pictures.test", "copies.test"):
        answers[host, "/robots.txt"] = Answer(media_type="text/plain", body=b"User-agent: *\nAllow: /\n")
    truth = [{"url": x.url, "text": x.text, "kind": x.kind, "copy": "//copies." in x.src} for x in links]
    return Noisy(Web(pages, answers), pa.Table.from_pylist(truth, TRUTH))


def _link(
    pictures: Sequence[Picture],
    index: int,
    number: int | None,
    rates: Rates,
    chance: random.Random,
    answers: dict[tuple[str, str], Answer],
) -> Link:
    """A link to the picture at `index`, or to its copy of this number."""
    kinds = rates.kinds()
    kind = chance.choices(list(kinds), list(kinds.values()))[0]
    text = _caption(pictures, index, kind, chance)
    host = "pictures.test" if number is None else "copies.test"
    path = f"/{index}.jpg" if number is None else f"/{number}/{index}.jpg"
    if (host, path) not in answers:
        body = pictures[index].encoded()
        if number is not None:
            body = pictures[index].encoded(chance.randint(60, 95), chance.choice((48, 56, 64)))
        answers[host, path] = Answer(media_type="image/jpeg", body=body)
    url = f"http://{host}{path}"
    return Link(url, text, kind, url, text, "en", kind == "right")


def _caption(pictures: Sequence[Picture], index: int, kind: str, chance: random.Random) -> str:
    if kind == "boilerplate":
        return chance.choice(BOILERPLATE)
    if kind == "file_name":
        return chance.choice(FILE_NAMES).format(chance.randrange(1, 10_000))
    if kind == "wrong":
        index = (index + chance.randrange(1, len(pictures))) % len(pictures)
    return caption(pictures[index], chance.randrange(len(SENTENCES["en"])))


def caption(picture: Picture, which: int) -> str:
    """A right caption: an emoji's name in a sentence, a Tux Paint picture's own sentence."""
    text = picture.name if picture.style == "tuxpaint" else sentence("en", picture.name, which)
    return re.sub(r"\s+", " ", ftfy.fix_text(text)).strip()
