"""Opt-outs in an answer's headers are stored, and honoured before the body is read."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from downloads_fixtures import JPEG, PATIENT, fetched
from hypothesis import given
from hypothesis import strategies as st
from webserver import answer, redirect, serving

from transforms.downloads.policy import opt_outs

REFUSED = ["noai", "noimageai", "noml", "noindex", "noimageindex", "none"]


@pytest.mark.parametrize("directive", REFUSED)
def test_refused_before_the_body_is_read(directive: str) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(length=100_000, X_Robots_Tag=directive))
        await asyncio.sleep(60)  # a client that waited for the body would time out

    with serving({"/a": endless}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["error"]) == ("opt_out", f"x-robots-tag: {directive}")
    assert row["opt_out"] == [f"x-robots-tag: {directive}"]
    assert (row["http_status"], row["bytes"], row["image"]) == (200, None, None)


# Cases of img2dataset's own tests of `is_disallowed` and of Google's robots meta tag specification.
@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["noindex"], ["noindex"]),
        (["NoAI"], ["noai"]),
        (["noindex, nofollow"], ["noindex", "nofollow"]),
        (["nofollow", "noai"], ["nofollow", "noai"]),
        (["pairlake: noai"], ["noai"]),
        (["PairLake: noindex, noai"], ["noindex", "noai"]),
        (["otherbot: noai, noindex"], []),
        (["otherbot: noai", "noindex"], ["noindex"]),
        (["otherbot: noai, pairlake: noindex"], ["noindex"]),
        (["*: noai"], ["noai"]),
        (["max-snippet: 20, noai"], ["max-snippet: 20", "noai"]),
        (["noai, max-image-preview:none"], ["noai", "max-image-preview: none"]),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], ["unavailable_after: 25 jun 2010 15:00:00 pst"]),
        (
            ["unavailable_after: Friday, 25-Jun-10 15:00:00 PST, noai"],
            ["unavailable_after: friday, 25-jun-10 15:00:00 pst", "noai"],
        ),
        (["otherbot: max-snippet: 20, unavailable_after: 2010-06-25"], []),
        (["all"], ["all"]),
        ([""], []),
        ([":"], []),
        ([" : noai", ",,,"], ["noai"]),
        (["noai, noai"], ["noai"]),
    ],
)
def test_which_directives_are_ours(values: list[str], names: list[str]) -> None:
    assert opt_outs(values, None, "pairlake") == [f"x-robots-tag: {name}" for name in names]


@pytest.mark.parametrize(("value", "seen"), [("1", ["tdm-reservation: 1"]), ("0", []), ("", []), ("yes", [])])
def test_tdm_reservation(value: str, seen: list[str]) -> None:
    assert opt_outs([], value, "pairlake") == seen


def test_header_of_a_server_with_rights_reserved() -> None:
    with serving({"/a": answer(JPEG, TDM_Reservation="1")}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["opt_out"]) == ("opt_out", ["tdm-reservation: 1"])


@given(st.lists(st.text(max_size=60), max_size=4), st.text(max_size=5))
def test_any_header_is_read(values: list[str], reserved: str) -> None:
    for signal in opt_outs(values, reserved, "pairlake"):
        name, value = signal.split(": ", 1)
        assert name in ("x-robots-tag", "tdm-reservation")
        assert value == value.strip().lower()


def test_what_does_not_refuse_is_stored_beside_the_picture() -> None:
    with serving({"/a": answer(JPEG, X_Robots_Tag="nofollow, noarchive")}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert row["status"] == "success"
    assert row["opt_out"] == ["x-robots-tag: nofollow", "x-robots-tag: noarchive"]


def test_seen_but_not_honoured_where_the_rules_say_so() -> None:
    with serving({"/a": answer(JPEG, X_Robots_Tag="noai")}) as server:
        [row] = fetched(["http://a.test/a"], server, replace(PATIENT, honour_opt_outs=False))
    assert (row["status"], row["opt_out"]) == ("success", ["x-robots-tag: noai"])


def test_opt_out_on_a_redirect_counts() -> None:
    away = redirect("/b").replace(b"\r\n\r\n", b"\r\nX-Robots-Tag: noai\r\n\r\n")
    with serving({"/a": away, "/b": answer(JPEG)}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert row["status"] == "opt_out"
    assert server.seen["a.test", "/b"] == 0


def test_error_page_that_is_not_to_be_indexed_is_an_error() -> None:
    with serving({"/a": answer(b"gone", code="404 Not Found", X_Robots_Tag="noindex")}) as server:
        [row] = fetched(["http://a.test/a"], server)
    assert (row["status"], row["opt_out"]) == ("http_error", ["x-robots-tag: noindex"])
