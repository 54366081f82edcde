# Recipes for a lake and for this repository. Arguments are passed on: `just scores --workers 4`.
# The lake is LAKE_ROOT, else ./lake.

# list the recipes
[private]
default:
    @just --list --unsorted

# build a lake from the embedded demo web, end to end (./demo-lake)
demo *args:
    uv run lake demo {{args}}

# extract candidates from the registered crawl files
candidates *args:
    uv run lake run candidates {{args}}

# fetch what the candidates name
downloads *args:
    uv run lake run downloads {{args}}

# embed captions and pictures
embeddings *args:
    uv run lake run embeddings {{args}}

# score the pairs
scores *args:
    uv run lake run scores {{args}}

# group pairs that show the same picture, by the methods that lake.toml names
duplicates *args:
    uv run lake run duplicates {{args}}

# store the join of candidates, downloads and scores, that queries read
pairs *args:
    uv run lake run pairs {{args}}

# every stage, upstream first
all *args:
    uv run lake run {{args}}

# make a stage and what depends on it anew: just rebuild embeddings
rebuild *args:
    uv run lake rebuild {{args}}

# what is fresh, what is not, and why
status *args:
    uv run lake status {{args}}

# ask a question: just sql "select language, count(*) from pairs group by all"
sql query *args:
    uv run lake sql "{{query}}" {{args}}

# name what the lake holds now
release name *args:
    uv run lake release create {{name}} {{args}}

# the web page and the API: just serve --port 8000
serve *args:
    uv run lake serve {{args}}

# make the vector index that searches use, or add what is missing from it
index *args:
    uv run lake index {{args}}

# the pairs nearest to a text: just search "a red apple" --where "width >= 512"
search text *args:
    uv run lake search "{{text}}" {{args}}

# take over what you have already: just import img2dataset DIR
import *args:
    uv run lake import {{args}}

# a subset leaves the lake: just export webdataset --view laion2b_en --to DIR
export *args:
    uv run lake export {{args}}

# make a release again from what it recorded, and compare: just reproduce v1 again
reproduce name into *args:
    uv run lake release reproduce {{name}} --into {{into}} {{args}}

# train a CLIP on a release's pairs and measure it: just train --root LAKE --release v1 --view V --held-out FILE --to DIR
train *args:
    uv run --extra train python -m lakehouse.training {{args}}

# the filter study's lake: just studylake --pairs FOLDER --to study
studylake *args:
    uv run --extra train python -m lakehouse.training.build {{args}}

# the filter study of a release: just study RELEASE --root study/lake --to study/results
study release *args:
    uv run --extra train python -m lakehouse.training.study --release {{release}} {{args}}

# train a small diffusion model on shards: just diffusion --shards DIR --model study/filter --to DIR
diffusion *args:
    uv run --extra train python -m lakehouse.training.diffusion {{args}}

# the tests; options go to pytest
test *args:
    uv run pytest {{args}}

# lint, format check and strict types
lint:
    uv run ruff check
    uv run ruff format --check
    uv run mypy

# a benchmark by name (see benchmarks/), or the list of them: just bench driver_memory --json
bench *args:
    @{{ if args == "" { "ls benchmarks/*.py" } else { "uv run --group bench python benchmarks/" + replace_regex(args, "^(\\S+)", "$1.py") } }}

# the long tests: many kills at every step
torture *args:
    uv run pytest -m slow --timeout 3600 {{args}}
