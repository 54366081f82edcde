"""Runs with something to look at: a bar on a terminal, one line per batch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from distributed import Client
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from lakehouse import run as runner
from lakehouse.cluster import connect
from lakehouse.export.plan import Request
from lakehouse.fetching import Account, Watch
from lakehouse.lake import Lake
from lakehouse.stages import Options, Stage

T = TypeVar("T")
LINE_SECONDS = 30.0  # between two lines on how fetching goes, where there is no terminal


def run(lake: Lake, stages: Sequence[Stage], options: Options, cluster: Mapping[str, Any]) -> int:
    """`run.run` with a progress bar; no cluster is started where everything is fresh."""
    plans = [runner.plan(lake, stage, options) for stage in stages]
    if all(p.fresh for p in plans):
        print("everything is fresh: nothing to do", file=sys.stderr)
        return 0
    with _client(lake, cluster) as client, _drawn(client) as progress:
        return runner.run(lake, client, stages, options, progress)


def rebuild(lake: Lake, names: Sequence[str], options: Options, cluster: Mapping[str, Any]) -> int:
    """`run.rebuild` with a progress bar."""
    with _client(lake, cluster) as client, _drawn(client) as progress:
        return runner.rebuild(lake, client, names, options, progress)


def export(lake: Lake, request: Request, to: str, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """`export.run.export` with a bar that counts shards."""
    from lakehouse.export.run import export

    console = Console(stderr=True)
    with _client(lake, cluster) as client:
        if not console.is_terminal:
            return export(lake, client, request, to)
        with _bar(console) as bar:
            task = bar.add_task(f"{request.format} of {request.view}", total=None, rows="")

            def report(done: int, total: int, rows: int) -> None:
                rate = rows / max(bar.tasks[task].elapsed or 0, 0.1)
                bar.update(task, total=total, completed=done, rows=f"{rows:,} pairs, {rate:,.0f}/s")

            return export(lake, client, request, to, report)


def imported(lake: Lake, cluster: Mapping[str, Any], bring: Callable[[Client, runner.Progress], T]) -> T:
    """What `bring` makes of a client and a progress bar."""
    with _client(lake, cluster) as client, _drawn(client) as progress:
        return bring(client, progress)


@contextmanager
def _client(lake: Lake, cluster: Mapping[str, Any]) -> Iterator[Any]:
    with connect(lake.settings.with_cluster(**cluster).cluster) as client:
        if client.dashboard_link:
            print(f"Dask dashboard: {client.dashboard_link}", file=sys.stderr)
        if not client.scheduler_info()["workers"]:
            print("the cluster has no workers yet: the run waits for them", file=sys.stderr)
        yield client


@contextmanager
def _drawn(client: Client) -> Iterator[runner.Progress]:
    """Progress as a bar on stderr if that is a terminal, else as lines; at the end, how fetching went."""
    console = Console(stderr=True)
    with ExitStack() as stack:
        if console.is_terminal:
            progress, told = _bars(stack.enter_context(_bar(console)))
        else:
            progress, told = _lines(), _now_and_then()
        watch = stack.enter_context(Watch(told).watching(client))
        yield progress
    if (account := watch.account()) is not None:
        print(f"downloads: {account.line()}; slowest hosts: {account.hosts()}", file=sys.stderr)


def _now_and_then() -> Callable[[Account], None]:
    """Prints an account if the last one is a while ago."""
    said = 0.0

    def told(account: Account) -> None:
        nonlocal said
        if account.seconds - said > LINE_SECONDS:
            said = account.seconds
            print(f"downloads: {account.line()}", file=sys.stderr)

    return told


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _bars(bar: Bar) -> tuple[runner.Progress, Callable[[Account], None]]:
    state: dict[str, Any] = {"stage": None}

    def start(plan: runner.Plan, batches: int) -> None:
        if state["stage"] == plan.stage.name:  # planned anew, after waiting for another driver
            bar.update(state["task"], total=state["done"] + batches)
        elif batches:
            task = bar.add_task(plan.stage.name, total=batches, rows="")
            state.update(stage=plan.stage.name, rows=0, done=0, task=task)

    def step(done: int, total: int, rows: int) -> None:
        task = bar.tasks[state["task"]]
        seen = state["rows"] + rows
        rate = seen / max(task.elapsed or 0, 0.1)
        bar.update(
            state["task"], completed=state["done"] + done / total, rows=f"{seen:,} rows, {rate:,.0f}/s"
        )
        state["last"] = rows

    def batch(stage: Stage, works: int) -> None:
        state["done"] += 1
        state["rows"] += state.pop("last", 0)
        bar.update(state["task"], completed=state["done"])

    def told(account: Account) -> None:
        if state["stage"] == "downloads":
            bar.update(state["task"], rows=account.line())

    return runner.Progress(start, step, batch), told


def _lines() -> runner.Progress:
    state = {"rows": 0}

    def step(done: int, total: int, rows: int) -> None:
        state["rows"] = rows

    def batch(stage: Stage, works: int) -> None:
        print(f"{stage.name}: a batch of {works} done, {state['rows']:,} rows", file=sys.stderr)

    return runner.Progress(step=step, batch=batch)
