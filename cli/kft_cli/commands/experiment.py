"""``kft experiment``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from kft_cli.commands.options import json_option, parse_pairs
from kft_cli.commands.output_paths import InputName, OutputFolder, WritingCommand, checked
from kft_cli.display.console import narrate, print_json, print_text
from kft_cli.display.tables import Section, Table, duration, make_table, number, percent, terminal_text
from kft_cli.experiment.costs import Cost, Estimate, ExperimentCost, estimate, experiment_cost, shipped_rates, works_of
from kft_cli.experiment.engine import Prepared, check_finished, execute, failures, prepare
from kft_cli.experiment.file import Experiment, load_experiment
from kft_cli.experiment.launchers import Launcher, LocalLauncher, SubmititLauncher
from kft_cli.experiment.layout import ExperimentLayout
from kft_cli.experiment.planning import plan_seeds, power_section
from kft_cli.experiment.record import read_experiment
from kft_cli.experiment.render import summarize_experiment
from kft_cli.experiment.report import has_finished_runs, read_finished, write_experiment
from kft_cli.experiment.store import Store
from kft_cli.experiment.watching import describe, display
from kft_cli.pipeline.machine import automatic_workers, available_threads
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import write_json
from kft_tasks.models.locate import model_folder


@click.command("experiment", cls=WritingCommand)
@click.argument("file", type=InputName())
@click.option(
    "--output", "-o", type=OutputFolder(), help="Folder of the experiment.  [default: experiments/EXPERIMENT-NAME]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes that do steps at the same time.  [default: 2 on a CPU with memory for two models, else 1]",
)
@click.option(
    "--launcher",
    type=click.Choice(["local", "submitit"]),
    default="local",
    show_default=True,
    help="Who starts the workers: this process, or submitit, on Slurm where there is one.",
)
@click.option(
    "--launcher-args",
    multiple=True,
    metavar="KEY=VALUE",
    help="Argument of submitit, such as timeout_min=600 or slurm_partition=gpu; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show the steps, an estimate of time and tokens, and do nothing.")
@click.option("--retry", is_flag=True, help="Try again what failed before.")
@click.option("--power", is_flag=True, help="Show how many seeds the hypotheses need, by finished runs.")
@json_option
def command(
    file: str,
    output: Path | None,
    workers: int | None,
    launcher: str,
    launcher_args: tuple[str, ...],
    dry_run: bool,
    retry: bool,
    power: bool,
    as_json: bool,
) -> int | None:
    """Run all arms and seeds of an experiment, each step once.

    FILE is the name of a packaged experiment, such as worldfacts-core, or the path of a YAML file. What arms have in
    common is computed once. An interrupted experiment resumes where it stopped, also with other --workers, and with
    more arms or seeds; other processes, on this or other machines, may run the same command on the same folder.

    \b
    Example: kft experiment worldfacts-core -o experiments/core --workers 2
    """
    experiment = load_experiment(file)
    folder = output or checked(Path("experiments") / experiment.file.name)
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="kft-experiment-") as scratch:
            prepared = prepare(experiment, Path(scratch) / "experiment", ())
            store = Store(ExperimentLayout(folder), prepared.graph)
            _show_plan(prepared, store, as_json=as_json)
        return None
    if power:
        _show_power(experiment, folder, as_json=as_json)
        return None
    if launcher_args and launcher == "local":
        raise UsageError("--launcher-args: processes of this machine have no arguments. Use --launcher submitit.")
    arguments = parse_pairs(launcher_args, "--launcher-args", typed=True)
    starts: Starts = partial(SubmititLauncher, parameters=arguments) if launcher == "submitit" else LocalLauncher
    return _run(experiment, folder, workers, starts, retry=retry, as_json=as_json)


Starts = Callable[[int], Launcher]
"""Makes a launcher of workers with a number of threads."""


def _run(
    experiment: Experiment, folder: Path, workers: int | None, starts: Starts, *, retry: bool, as_json: bool
) -> int | None:
    name, arms, seeds = experiment.file.name, len(experiment.arms), len(experiment.file.seeds)
    narrate(f"Experiment {name}: {arms} arms, {seeds} seeds. Folder: {folder}")
    first = next(iter(experiment.recipes().values())).model
    count = workers or automatic_workers(model_folder(first.id, first.revision))
    prepared = prepare(experiment, folder, ["kft", *sys.argv[1:]], max(1, available_threads() // count))
    store = prepared.store
    if retry:
        store.retry()
    check_finished(prepared)
    works = works_of(prepared.graph, prepared.pipelines)
    with display(works) as watcher:
        execute(prepared, starts(prepared.graph.threads), count, watcher)
    cost = experiment_cost(store)
    write_json(prepared.layout.cost, cost.model_dump(mode="json"))
    failed = failures(store)
    if as_json:
        print_json({"cost": cost.model_dump(mode="json"), "failed": dict(failed)})
    else:
        print_text(terminal_text([Section("Cost", (_cost_table(cost),))]))
    if has_finished_runs(prepared.layout.folder):
        page = write_experiment(prepared.layout.folder)
        if not as_json:
            print_text(summarize_experiment(read_experiment(page.with_suffix(".json"))))
        narrate(f"Report: {page}")
        narrate(f"Page: {page.with_suffix('.html')}")
    if failed:
        narrate(f"{len(failed)} steps failed. Run the same command with --retry to try them again:")
        for what, error in failed:
            narrate(f"  {what}: {error}")
        return DataError.exit_code
    return None


def _show_power(experiment: Experiment, folder: Path, *, as_json: bool) -> None:
    planned = plan_seeds(experiment.file.hypotheses, read_finished(ExperimentLayout(folder), experiment.file))
    if as_json:
        print_json([one.to_json() for one in planned])
    else:
        print_text(terminal_text([power_section(planned)]))


def _cost_table(cost: ExperimentCost) -> Table:
    rows = [_cost_row(kind, one) for kind, one in cost.kinds.items()]
    rows += [_cost_row("all steps, each once", cost.total), _cost_row("all runs, one by one", cost.separate)]
    caption = f"Sharing saved {percent(cost.saved)} of the time of separate runs."
    return make_table("Steps | Number > | Time > | CPU time > | Tokens >", rows, caption)


def _cost_row(name: str, cost: Cost) -> list[str]:
    cells = (duration(cost.seconds), duration(cost.cpu_seconds), number(cost.tokens))
    return [name, number(cost.steps), *cells]


def _show_plan(prepared: Prepared, store: Store, *, as_json: bool) -> None:
    graph = store.graph
    works = works_of(graph, prepared.pipelines)
    expected = estimate(store, works)
    left = [key for key in graph.steps if key not in store.done()]
    separate = [key for run in graph.runs for key in run.steps.values()]
    totals = {"left": expected.total(left), "all": expected.total(graph.steps), "separate": expected.total(separate)}
    source = "" if expected.measured >= {work.kind for work in works.values()} else shipped_rates().source
    if as_json:
        steps = [_step_json(store, expected, key) for key in graph.steps]
        totals_json = {name: cost.model_dump(mode="json") for name, cost in totals.items()}
        print_json({"steps": steps, "totals": totals_json, "rates": source or "this experiment"})
        return
    rows = []
    for count, key in enumerate(graph.steps, start=1):
        cost = expected.cost(key)
        done = "yes" if key in store.done() else "no"
        shared = number(len(graph.steps[key].runs))
        rows.append([str(count), describe(store, key), shared, done, duration(cost.seconds), number(cost.tokens)])
    table = make_table("# > | Step | Runs > | Done | Time > | Tokens >", rows)
    names = {"left": "left to do", "all": "all steps, each once", "separate": "all runs, one by one"}
    total = [[names[name], number(c.steps), duration(c.seconds), number(c.tokens)] for name, c in totals.items()]
    origin = f"Rates where nothing is finished yet: {source}." if source else "Rates: of finished steps."
    caption = f"Times are of one worker. {origin} Trainings are estimated with a fifth of the training questions."
    totals_table = make_table("Steps | Number > | Time > | Tokens >", total, caption)
    print_text(terminal_text([Section("", (table,)), Section("Estimate", (totals_table,))]))


def _step_json(store: Store, expected: Estimate, key: str) -> dict[str, object]:
    node, cost = store.graph.steps[key], expected.cost(key)
    runs = [{"arm": store.graph.runs[n].arm, "seed": store.graph.runs[n].seed} for n in node.runs]
    values = {"key": key, "step": node.step.name, "needs": node.needs, "runs": runs, "done": key in store.done()}
    return {**values, "seconds": cost.seconds, "tokens": cost.tokens}
