"""Every number that protects a server from its visitors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one request may cost, and how many there may be. Section [server] of lake.toml.

    All are ours: clip-retrieval's service has none of them.
    """

    hosts: tuple[str, ...] = ()
    """names under which it may be asked, beside `localhost` and plain addresses: a page of another site whose
    name turns into this address (DNS rebinding) must not read the lake through a visitor's browser"""
    k: int = 10_000
    """results of one search at most"""
    body_bytes: int = 8 * 1024 * 1024
    """of a request: a picture of `image_bytes` in base64, and some text"""
    image_bytes: int = 5 * 1024 * 1024
    """of a picture that somebody searches by, as sent or as found at a URL"""
    image_pixels: int = 40_000_000
    """width times height of it, by its header, before a pixel is decoded: 120 MB decoded"""
    url_seconds: float = 8.0
    """for fetching a picture by its URL, redirects included"""
    where_chars: int = 2_000
    """of a condition in SQL"""
    text_chars: int = 1_000
    """of a text that is searched for; CLIP reads the first 77 tokens of it"""
    query_seconds: float = 10.0
    """that DuckDB may work on one question"""
    wait_seconds: float = 30.0
    """that a request may wait for its turn before it is told to come again (503)"""
    sessions: int = 2
    """questions that DuckDB works on at a time, per version of the lake that is open"""
    session_memory: str = "1GB"
    """for each of them, as DuckDB takes it"""
    versions: int = 4
    """versions of the lake (head and releases) kept open at a time"""
    diff_rows: int = 5_000_000
    """pairs up to which two versions are compared here; beyond it `lake release diff` is for"""
    rate: float = 20.0
    """requests a second that one address may make in the long run; 0 for no limit"""
    burst: int = 200
    """requests that it may make at once: a screenful of thumbnails is some dozens"""
    requests: int = 10_000
    """requests for removal that wait to be looked at; more are refused"""
    subsets: int = 1_000
    """versions of saved subsets in the lake's folder of views; more are refused"""
