"""A lake.toml, or a variable, that cannot be meant: one line that names section, key and what is expected."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import commands
import pytest

from lakehouse.lake import open_lake
from lakehouse.settings import BUILTIN
from transforms.candidates.rules import PRESETS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("settings") / "lake"
    assert commands.lake("init", made).code == 0
    return made


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[cluster", "lake.toml is not valid TOML: Expected ']' at the end of a table declaration"),
        ("\xff", "lake.toml is not valid TOML: "),
        ("[clusters]", "lake.toml: unknown section [clusters]; there are lake, cluster, batches, "),
        ("cluster = 3", "lake.toml: cluster = 3: expected a section [cluster]"),
        ("[cluster]\ncores = 2", "lake.toml: [cluster] cores: there is no such key; there are gpus, "),
        ("[cluster]\nworkers = 'all'", "[cluster] workers = 'all': expected a whole number, 0 or more"),
        ("[cluster]\nworkers = true", "[cluster] workers = True: expected a whole number, 0 or more"),
        ("[cluster]\nworkers = -1", "[cluster] workers = -1: expected a whole number, 0 or more"),
        ("[cluster]\ngpus = 'yes'", "[cluster] gpus = 'yes': expected true or false"),
        ("[cluster]\nscheduler = 8786", "[cluster] scheduler = 8786: expected text"),
        ("[batches]\nunits = 0", "[batches] units = 0: expected a whole number, 1 or more"),
        ("[batches]\nrows = 2.5", "[batches] rows = 2.5: expected a whole number, 1 or more"),
        ("[candidates]\nschemes = 'http'", "[candidates] schemes = 'http': expected a list of texts"),
        ("[candidates]\nschemes = [1]", "[candidates] schemes = [1]: expected a list of texts"),
        ("[candidates]\npreset = 'datacomp'", "preset = 'datacomp': expected one of pairlake, laion5b"),
        ("[candidates]\nlinks = 'all'", "[candidates] links = 'all': expected one of images, as_written"),
        ("[downloads]\nresize_mode = 'crop'", "resize_mode = 'crop': expected one of no, border, "),
        ("[downloads]\nread_seconds = nan", "read_seconds = nan: expected a number, 0 or more"),
        ("[downloads]\nread_seconds = -1", "read_seconds = -1: expected a number, 0 or more"),
        ("[network]\nuser_agent = 'me'", "[network]: user agent 'me' names no contact: write it as"),
        ("[network]\nuser_agent = 3", "[network] user_agent = 3: expected text"),
        ("[network]\nresolve = 'x'", "[network] resolve = 'x': expected a table of HOST = ADDRESS:PORT"),
        ("[network.resolve]\n'*' = 'x'", "[network] resolve.* = 'x': expected ADDRESS:PORT"),
        ("[models]\nb32 = 3", f"[models.b32] needs `architecture` (an open_clip name or a folder); the names "
         f"{', '.join(BUILTIN)} are taken"),
        ("[models.mine]", "[models.mine] needs `architecture` (an open_clip name or a folder)"),
        ("[models.mine]\narchitecture = 3", "[models.mine] architecture = 3: expected text"),
        ("[models.mine]\narchitecture = 'x'\ntag = 'y'", "[models.mine] tag: there is no such key; there "),
        ("[scores]\nscorers = 'x'", "[scores] scorers = 'x': expected a list of texts"),
        ("[scores]\nscorers = ['x']", "no scorer 'x' fits this lake's models; there are similarity_b32, "),
        ("[lake]\nschema = 99", "the lake has schema 99, this Pairlake reads schema 1"),
    ],
)  # fmt: skip
def test_a_lake_toml_that_cannot_be_meant(root: Path, text: str, line: str) -> None:
    (root / "lake.toml").write_text(text, "latin-1")
    assert line in commands.complaint(commands.lake("--root", root, "status"), 2)


def test_thresholds_are_numbers_of_rules_that_exist(root: Path) -> None:
    for text, line in (
        ("similarity_en = 'high'", "lake.toml: [thresholds] similarity_en = 'high': expected a number"),
        ("beauty = 1", "no threshold 'beauty'; there are "),
    ):
        (root / "lake.toml").write_text(f"[thresholds]\n{text}")
        assert commands.complaint(commands.lake("--root", root, "sql", "select 1"), 2).startswith(line)


def test_variables_override_and_are_checked_alike(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "lake.toml").write_text("[cluster]\nworkers = 3")
    monkeypatch.setenv("LAKE_CLUSTER_WORKERS", "two")
    line = commands.complaint(commands.lake("--root", root, "status"), 2)
    assert line == "LAKE_CLUSTER_WORKERS = 'two': expected a whole number, 0 or more"
    monkeypatch.setenv("LAKE_CLUSTER_WORKERS", "2")
    assert commands.lake("--root", root, "status").code == 0
    monkeypatch.setenv("LAKE_BATCHES_SIZE", "2")
    line = commands.complaint(commands.lake("--root", root, "status"), 2)
    assert line == "LAKE_BATCHES_SIZE: there is no such key; there are list_rows, rows, units"


def test_a_model_that_is_not_to_be_had(root: Path) -> None:
    (root / "lake.toml").write_text("[models.mine]\narchitecture = 'ViT-nosuch'")
    for asked in (["history", "embeddings_mine"], ["compact"]):
        line = commands.complaint(commands.lake("--root", root, *asked), 1)
        assert line.startswith(
            "model mine: 'ViT-nosuch' is neither an architecture of open_clip nor a folder"
        )


def test_a_preset_is_a_set_of_rules_that_can_be_changed(root: Path) -> None:
    (root / "lake.toml").write_text("[candidates]\npreset = 'laion5b'\nmin_text_chars = 7")
    told = open_lake(str(root)).settings.candidates
    assert told == dataclasses.replace(PRESETS["laion5b"], min_text_chars=7)
    assert told.urls == "validated"
    (root / "lake.toml").write_text("")
    assert open_lake(str(root)).settings.candidates == PRESETS["pairlake"]
