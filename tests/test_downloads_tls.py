"""Certificates are checked against the host's name; nothing is fetched from a server that fails."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from downloads_fixtures import JPEG, fetched
from webserver import answer, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(authority: trustme.CA, *names: str, expires: datetime | None = None) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=expires).configure_cert(tls)
    return tls


def test_valid_certificate(authority: trustme.CA, ca_file: str) -> None:
    with serving({"/a.jpg": answer(JPEG)}, context(authority, "a.test")) as server:
        [row] = fetched(["https://a.test/a.jpg"], server, ca_file=ca_file)
    assert row["status"] == "success"


@pytest.mark.parametrize("fault", ["expired", "other host", "unknown authority"])
def test_invalid_certificate(fault: str, authority: trustme.CA, ca_file: str) -> None:
    issuer = trustme.CA() if fault == "unknown authority" else authority
    name = "b.test" if fault == "other host" else "a.test"
    expires = datetime.now(UTC) - timedelta(days=1) if fault == "expired" else None
    with serving({"/a.jpg": answer(JPEG)}, context(issuer, name, expires=expires)) as server:
        [row] = fetched(["https://a.test/a.jpg"], server, ca_file=ca_file)
    assert (row["status"], row["error"]) == ("tls", "robots.txt: certificate is not valid")
    assert not server.seen


def test_no_tls_at_the_other_end(ca_file: str) -> None:
    with serving({"/a.jpg": answer(JPEG)}) as server:
        [row] = fetched(["https://a.test/a.jpg"], server, ca_file=ca_file)
    assert row["status"] == "tls"
