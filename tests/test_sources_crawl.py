"""A crawl is added by its name: WAT files from its own list, under their paths, wherever it is served."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import commands
import fsspec
import pytest
from crawl_units import SHARED, WAT
from crawl_units import units as unit_frame
from distributed import Client
from files_server import Site, serving
from s3 import s3

from lakehouse import lake as lakes
from lakehouse import settings, sources, views
from lakehouse.errors import StorageError, UsageError
from lakehouse.lake import Lake
from lakehouse.ledger import Source
from transforms.candidates import CandidateRules, extract
from transforms.files import Reads, open_file

CRAWL = "CC-MAIN-2026-30"
LIST = f"crawl-data/{CRAWL}/wat.paths.gz"
FIRST_50 = WAT / "cc-main-2026-30.first-50.wat.paths.gz"
ALL = SHARED / "wat" / "cc-main-2026-30.wat.paths.gz"
PATHS = gzip.decompress(FIRST_50.read_bytes()).decode().split()
FILES = [WAT / "cc-main-2016-50.repaired.warc.wat.gz", WAT / "cc-main-2016-50.broken.warc.wat.gz"]
PATIENT = "[reads]\nwait_seconds = 0.01\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A mirror of the crawl: its list, and real WAT files under the paths that it names."""
    files = {f"/{path}": FILES[i % 2].read_bytes() for i, path in enumerate(PATHS)}
    with serving(Site({**files, f"/{LIST}": FIRST_50.read_bytes()})) as site:
        yield site


@pytest.fixture
def made(tmp_path: Path) -> Lake:
    return lakes.init(str(tmp_path / "lake"), PATIENT)


def units(added: list[Source]) -> list[str]:
    return [source.unit for source in added]


def test_the_first_files(site: Site, made: Lake) -> None:
    added = sources.add_crawl(made, CRAWL, 3, base_url=site.url)
    assert units(added) == PATHS[:3]
    assert [source.path for source in added] == [f"{site.url}/{path}" for path in PATHS[:3]]
    assert units(sources.add_crawl(made, CRAWL, 5, base_url=f"{site.url}/")) == PATHS[3:5]
    assert units(made.ledger.sources()) == PATHS[:5]


def test_a_sample_is_in_order_and_holds_every_smaller_one(site: Site, tmp_path: Path) -> None:
    def sample(n: int, seed: int) -> list[str]:
        made = lakes.init(str(tmp_path / f"lake-{n}-{seed}"), PATIENT)
        return units(sources.add_crawl(made, CRAWL, n, seed, site.url))

    ten, twenty = sample(10, 1), sample(20, 1)
    assert ten == sorted(set(ten), key=PATHS.index)
    assert set(ten) < set(twenty)
    assert len(twenty) == 20
    assert sample(50, 1) == PATHS
    assert sample(10, 2) not in (ten, PATHS[:10])


def test_samples_are_even(site: Site, tmp_path: Path) -> None:
    """Of 50 files 25 are drawn with 40 seeds: each about 20 times, give or take four standard deviations."""
    drawn = Counter(place for seed in range(40) for place in sources._sample(PATHS, 25, seed))
    assert sorted(drawn) == list(range(50))
    assert all(abs(n - 20) < 4 * (40 / 4) ** 0.5 for n in drawn.values())


def test_a_known_file_is_not_added_again(site: Site, made: Lake) -> None:
    mirror = Path(made.storage.root).parent / "mirror"
    (mirror / PATHS[0]).parent.mkdir(parents=True)
    (mirror / PATHS[0]).write_bytes(FILES[0].read_bytes())
    assert units(sources.add(made, "wat", [str(mirror / PATHS[0])])) == PATHS[:1]
    assert units(sources.add_crawl(made, CRAWL, 2, base_url=site.url)) == PATHS[1:2]


def test_the_public_host_is_the_default(monkeypatch: pytest.MonkeyPatch, made: Lake, site: Site) -> None:
    assert made.settings.crawls.url == "https://data.commoncrawl.org/"
    monkeypatch.setenv("LAKE_CRAWLS_URL", site.url)
    told = Lake(settings.load(made.storage))
    assert units(sources.add_crawl(told, CRAWL, 1)) == PATHS[:1]


def test_a_mirror_may_be_a_folder(tmp_path: Path, made: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LIST).parent.mkdir(parents=True)
    (tmp_path / LIST).write_bytes(FIRST_50.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert sources.add_crawl(made, CRAWL, 1, base_url=".")[0].path == str(tmp_path / PATHS[0])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"<html>503 Slow Down</html>", "is no list of paths: Not a gzipped file"),
        (FIRST_50.read_bytes()[:-20], "is no list of paths: Compressed file ended before"),
        (gzip.compress(b"", mtime=0), f"{CRAWL} has 0 WAT files, fewer than 2"),
        (gzip.compress(b"crawl-data/a/b.warc.gz\n../../etc/passwd\n", mtime=0), "it has '../../etc/passwd'"),
        (gzip.compress(PATHS[0].encode(), mtime=0), f"{CRAWL} has 1 WAT files, fewer than 2"),
    ],
)
def test_lists_that_are_none(made: Lake, content: bytes, line: str) -> None:
    with serving(Site({f"/{LIST}": content})) as site, pytest.raises(UsageError) as told:
        sources.add_crawl(made, CRAWL, 2, base_url=site.url)
    assert line in str(told.value)
    assert made.ledger.sources() == []


def test_a_crawl_that_is_not_there(site: Site, made: Lake) -> None:
    with pytest.raises(UsageError, match=rf"^no file {site.url}/crawl-data/CC-MAIN-1999-01/wat\.paths\.gz: "):
        sources.add_crawl(made, "CC-MAIN-1999-01", 1, base_url=site.url)
    with serving(Site({})) as gone:
        url = gone.url
    with pytest.raises(StorageError, match="Connection refused, after 3 tries"):
        sources.add_crawl(made, CRAWL, 1, base_url=url)


@pytest.mark.skipif(not ALL.is_file(), reason="the list of all 100,000 files is not in this checkout")
def test_the_whole_list_of_a_crawl(made: Lake) -> None:
    paths = gzip.decompress(ALL.read_bytes()).decode().split()
    with serving(Site({f"/{LIST}": ALL.read_bytes()})) as site:
        drawn = units(sources.add_crawl(made, CRAWL, 1_000, 7, site.url))
    assert len(paths) == 100_000
    places = [paths.index(unit) for unit in drawn[::100]]
    assert places == sorted(places)
    assert len(set(drawn) & set(paths)) == 1_000
    segments = Counter(unit.split("/")[3] for unit in drawn)
    assert len(segments) == len({path.split("/")[3] for path in paths})  # every part of the crawl is in it


def test_a_crawl_end_to_end(site: Site, made: Lake, client: Client) -> None:
    """Over a server that fails now and then, from the command line to SQL."""
    site.failures.update(
        {f"/{LIST}": [503], f"/{PATHS[0]}": [503, "reset", 5_000], f"/{PATHS[1]}": [100, 429]}
    )
    at = ["--root", made.storage.root]
    answer = commands.lake(*at, "add", "--crawl", CRAWL, "--files", "2", "--base-url", site.url)
    assert answer == commands.Answer(0, "2 new wat units of 2 in all\n", "")
    assert commands.lake(*at, "run", "candidates", "--scheduler", client.scheduler.address).code == 0
    assert not any(site.failures.values())
    rows = views.query(made, "select unit, url from candidates").to_pylist()
    url = "http://08.od.ua/cache/f/d/8/8/2c2f3c849bdd6b13c48d2f04356e.jpg"
    assert rows == [{"unit": PATHS[0], "url": url}]
    (event,) = made.ledger.done("candidates")
    found = {(entry["unit"], entry["name"]): entry["n"] for entry in event["counts"]}
    for path in PATHS[:2]:  # the same pages: what the first brought is a duplicate in the second
        assert found[path, "in"] == 37
        assert found[path, "note:records"] == 16
    assert found[PATHS[1], "drop:duplicate"] == 1


def test_files_on_s3(made: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the environment tells of the store."""
    with s3() as address:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        store = boto3.client("s3", region_name="us-east-1")
        store.create_bucket(Bucket="mirror")
        store.put_object(Bucket="mirror", Key=LIST, Body=FIRST_50.read_bytes())
        store.put_object(Bucket="mirror", Key=PATHS[0], Body=FILES[0].read_bytes())
        (added,) = sources.add_crawl(made, CRAWL, 1, base_url="s3://mirror/")
        assert added == Source(PATHS[0], f"s3://mirror/{PATHS[0]}", "wat", 0)
        again = ["s3://mirror/crawl-data/*/segments/*/wat/*", f"s3://mirror/{PATHS[0]}"]
        assert sources.add(made, "wat", again) == []
        over_s3 = extract(unit_frame((PATHS[0], added.path, "wat", 0)), CandidateRules())
        assert over_s3.equals(extract(unit_frame((PATHS[0], FILES[0], "wat", 0)), CandidateRules()))
        with pytest.raises(FileNotFoundError, match=r"^s3://mirror/nosuch: there is no such file$"):
            open_file("s3://mirror/nosuch", Reads(attempts=2, wait_seconds=0.01))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
