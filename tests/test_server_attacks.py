"""What strangers try against the server: each is answered with a refusal, and none with a secret."""

from __future__ import annotations

import base64
import http.client
import io
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from serving import TOKEN, Served, serving
from webserver import answer, redirect
from webserver import serving as web

from lakehouse import lake as lakes
from lakehouse.lake import Lake
from lakehouse.server.limits import Limits
from transforms.downloads.rules import Network

CONDITIONS = (
    "sample_id in (select 1 from read_csv('/etc/passwd'))",
    "text = (select content from read_text('/etc/passwd'))",
    "true; attach '/tmp/x.db'",
    "true) union all select * from glob('/*') --",
    "getenv('HOME') is not null",
    "sleep_ms(100000) is null",
    "length(repeat(text, 1000000000)) > 1",
)
INSIDE = (
    "http://127.0.0.1:{port}/x.jpg",
    "http://localhost:{port}/x.jpg",
    "http://[::1]:{port}/x.jpg",
    "http://2130706433:{port}/x.jpg",
    "http://0x7f.1:{port}/x.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x.jpg",
    "gopher://127.0.0.1:{port}/",
    "http://pictures.emoji.test/256/bike.jpg",  # a name that the lake's own crawler may resolve to loopback
)


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in 180 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    side = 60_000
    packed = zlib.compress(bytes(1 << 20) * 100, 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("path", ["/api/search", "/api/count"])
def test_sql_reaches_nothing_but_columns(served: Served, path: str, condition: str) -> None:
    told = served.ask(path, {"filters": {"where": condition}})
    assert told.status == 422
    assert "root:" not in told.body.decode()


@pytest.mark.parametrize("url", INSIDE)
def test_a_pictures_url_leads_to_no_server_inside(served: Served, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        told = served.ask("/api/search", {"image_url": url.format(port=inside.getsockname()[1])})
        inside.settimeout(0.05)
        with pytest.raises(TimeoutError):
            inside.accept()
    assert told.status == 422
    assert told.json["error"].startswith(("no picture from that URL", "searching by URL is off"))


def test_a_redirect_leads_to_no_server_inside_either(demo: Lake) -> None:
    """`open.test` stands for a public server; it sends the visitor's request on to one inside."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "JPEG")
    with socket.create_server(("127.0.0.1", 0)) as inside:
        to = f"http://127.0.0.1:{inside.getsockname()[1]}/x.jpg"
        with web({"/picture.jpg": answer(file.getvalue()), "/away.jpg": redirect(to)}) as public:
            network = Network(user_agent="Test/1 (+https://t.test/)", resolve=public.resolve)
            with serving(demo, network=network) as running:
                assert len(running.search(image_url="http://open.test/picture.jpg", k=2)) == 2
                told = running.ask("/api/search", {"image_url": "http://open.test/away.jpg"})
        inside.settimeout(0.05)
        with pytest.raises(TimeoutError):
            inside.accept()
    assert (told.status, told.json["error"]) == (422, "no picture from that URL: forbidden_address")


def test_a_picture_that_is_a_bomb_or_none_is_refused(served: Served) -> None:
    for data, why in [
        (bomb(), "too_many_pixels"),
        (b"GIF89a nothing", "bad_image"),
        (b"<svg/>", "refused_format"),
    ]:
        told = served.ask("/api/search", {"image": base64.b64encode(data).decode()})
        assert told.status == 422
        assert why in told.json["error"]
    assert served.ask("/api/search", {"image": "no base64!"}).status == 422


def test_a_body_over_the_limit_is_refused_announced_or_not(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = "POST /api/search HTTP/1.1\r\nHost: localhost\r\n"
        line.sendall(f"{head}Content-Length: {Limits().body_bytes + 1}\r\n\r\n".encode())
        assert b" 413 " in line.recv(1000).partition(b"\r\n")[0]
    with socket.create_connection((host, int(port))) as line:
        line.sendall(b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        told = b""
        line.settimeout(0.01)
        for _ in range(Limits().body_bytes // 0x10000 + 20):
            try:
                line.sendall(piece)
                told = line.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if told:
                break
        line.settimeout(10)
        told = told or line.recv(1000)
    assert b" 413 " in told.partition(b"\r\n")[0]


def test_results_and_texts_end_somewhere(served: Served) -> None:
    for asked in ({"text": "x", "k": 10_001}, {"k": 10, "offset": 9_995}, {"text": "x" * 1_001}):
        assert served.ask("/api/search", asked).status == 422
    assert served.ask("/api/search", {"filters": {"where": "true or " * 300 + "true"}}).status == 422


@pytest.mark.parametrize(
    "path",
    ["/../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/page/../../app.py", "/%2e%2e/app.py",
     "/api/thumbnail/..%2f..%2fx", "/api/row/1%20or%201=1", "/api/lake?release=../../x"],
)  # fmt: skip
def test_a_path_leads_nowhere_else(served: Served, path: str) -> None:
    told = served.ask(path)
    assert told.status in (404, 405, 422)
    assert b"root:" not in told.body
    assert b"import" not in told.body


def test_writing_needs_the_token(served: Served) -> None:
    before = sorted(path for path in Path(served.lake.storage.root).rglob("*") if path.is_file())
    sample_id = served.search(k=1)[0]["sample_id"]
    for token in (None, "", "wrong", TOKEN[:-1], f"{TOKEN}x", "ü"):
        given = None if token is None else token.encode().decode("latin-1")
        assert served.ask("/api/subset", {"name": "mine", "search": {}}, given).status == 403
        assert served.ask("/api/removal", {"sample_id": sample_id}, given).status == 403
        assert served.ask("/api/removal", token=given).status == 403
    after = sorted(path for path in Path(served.lake.storage.root).rglob("*") if path.is_file())
    assert after == before


def test_without_a_token_of_its_own_a_server_takes_no_writes(lake: Lake) -> None:
    with serving(lake, token=None) as running:
        told = running.ask("/api/subset", {"name": "mine", "search": {}}, "anything")
    assert (told.status, told.json["error"].partition(":")[0]) == (403, "this server takes no writes")


def test_who_asks_too_fast_is_slowed_down(lake: Lake) -> None:
    with serving(lake, Limits(rate=1, burst=5)) as running:
        told = [running.ask("/health").status for _ in range(8)]
    assert told[:5] == [200] * 5
    assert 429 in told[5:]


def test_every_answer_protects_its_reader(served: Served) -> None:
    for path in ("/", "/api/lake", "/nothing", "/api/thumbnail/x"):
        headers = {name.lower(): value for name, value in served.ask(path).headers.items()}
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_errors_name_no_place_of_the_machine(lake: Lake) -> None:
    folder = Path(lake.storage.root) / "sql"
    folder.mkdir()
    with serving(lake) as running:
        (folder / "broken.sql").write_text("select from where")
        for path in ("/api/lake", "/api/subset"):
            told = running.ask(path).body.decode()
            assert "Traceback" not in told
            assert lake.storage.root not in told
        assert "LAKE/sql/broken.sql" in running.ask("/api/lake").json["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("lake.example", 200),
        ("LAKE.example:443", 200),
        ("evil.example", 421),
        ("lake.example.evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("", 421),
    ],
)
def test_a_name_that_is_not_its_own_gets_nothing(named: Served, host: str, status: int) -> None:
    """As a browser asks after DNS rebinding: the address is right, the name is another site's."""
    connection = http.client.HTTPConnection(named.url.removeprefix("http://"), timeout=60)
    connection.request("GET", "/health", headers={"Host": host})
    assert connection.getresponse().status == status
    connection.close()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An empty lake, served under a name."""
    lake = lakes.init(str(tmp_path_factory.mktemp("named") / "lake"))
    with serving(lake, Limits(hosts=("lake.example",))) as running:
        yield running
