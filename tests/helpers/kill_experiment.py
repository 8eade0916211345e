"""Kills an experiment and its workers at random, starts it again, and compares every file with an undisturbed one.

    python kill_experiment.py FOLDER --kills 3 --seed 1

A kill hits whoever runs the experiment, or one of its workers, in turn; a worker that joins late, on its own, may be
there too. Processes are forked from one that has imported everything. The last line printed is one JSON object:

    kills, seconds         of an undisturbed experiment
    differing, lost, litter, stuck     as in kill_runs
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kill_runs import contents, make_project, preload

ARMS = {"stage1": None, "method": {"description": "two stages", "stages": ["stage1", "stage2"]}}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
RESUMES = 10


def make_experiment(project: Path, seeds: list[int]) -> None:
    """A tiny model, questions, a recipe, and an experiment with two arms that share their first stage."""
    import yaml

    make_project(project)
    values = {"name": "killed", "recipe": "./recipe.yaml", "arms": ARMS, "seeds": seeds}
    (project / "experiment.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


class ForkLauncher:
    """Workers forked from this process, which end when it does."""

    remedy = "Look at the logs."

    def __init__(self) -> None:
        self.pipes: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.ended: list[tuple[int, int]] = []

    def start(self, layout: Any, workers: int) -> None:
        """Fork workers."""
        from kft_cli.experiment.worker_state import new_name

        for _ in range(workers):
            read, write = os.pipe()
            name = new_name()

            def work(read: int = read, write: int = write, name: str = name) -> None:
                for other in (*self.pipes.values(), write):
                    os.close(other)  # else the end of this process would not be the end of their input
                os.dup2(read, 0)
                sys.stdin = os.fdopen(0, encoding="utf-8")
                work_on(layout.folder, name)

            child = fork(work)
            os.close(read)
            self.pipes[child] = write
            self.names[child] = name

    def alive(self) -> int:
        """How many run."""
        self._look()
        return len(self.pipes)

    def dead(self) -> list[tuple[str, int]]:
        """Those that failed."""
        self._look()
        found, self.ended = self.ended, []
        return [(self.names[child], code) for child, code in found if code]

    def stop(self) -> None:
        """End all."""
        for child, pipe in self.pipes.items():
            os.kill(child, signal.SIGTERM)
            os.close(pipe)
            os.waitpid(child, 0)
        self.pipes = {}

    def _look(self) -> None:
        for child in list(self.pipes):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                os.close(self.pipes.pop(child))
                self.ended.append((child, os.waitstatus_to_exitcode(status)))


def work_on(folder: Path, *options: str) -> None:
    """Be a worker."""
    from kft_cli.experiment.worker import main

    main(str(folder), *options)


def fork(work: Callable[[], None], log: Path | None = None) -> int:
    """Do something in a fork; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if log is not None:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(out, 1)
            os.dup2(out, 2)
        work()
        code = 0
    except KeyboardInterrupt:
        code = 143
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Quiet:
    """Watches nothing."""

    def finished(self, store: Any, key: str) -> None:
        """A step was finished."""

    def failed(self, store: Any, key: str) -> None:
        """A step failed."""

    def look(self, store: Any, states: Any) -> None:
        """Nothing in particular."""


def run_experiment(project: Path, name: str, workers: int) -> None:
    """Run the whole experiment in this process and forked workers."""
    from kft_cli.experiment.engine import check_finished, execute, failures, prepare
    from kft_cli.experiment.file import load_experiment
    from kft_tasks.signals import raise_on_termination

    raise_on_termination()
    os.chdir(project)
    prepared = prepare(load_experiment("./experiment.yaml"), Path(name), ["kft", "experiment"])
    check_finished(prepared)
    execute(prepared, ForkLauncher(), workers, Quiet())
    if found := failures(prepared.store):
        raise SystemExit(f"failed: {found}")


def wait(child: int) -> int:
    """Exit code, negative for a signal that killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def workers_of(folder: Path) -> list[int]:
    """Process ids of the workers that say that they are at work."""
    from kft_cli.experiment.layout import ExperimentLayout
    from kft_cli.experiment.worker_state import read_states

    return [state.process for state in read_states(ExperimentLayout(folder))]


def compared(folder: Path) -> dict[str, str]:
    """What must be the same."""
    return {f"{part}/{name}": text for part in ("runs", "steps") for name, text in contents(folder / part).items()}


def attack(project: Path, name: str, seconds: float, dice: random.Random, kills: int) -> tuple[int, str]:
    """One experiment, killed some times; returns the number of kills, and what went wrong in the end."""
    folder, log, made = project / name, project / "log.txt", 0
    for _ in range(RESUMES):
        workers, late = dice.choice((1, 2, 3)), 0
        main = fork(partial(run_experiment, project, name, workers), log)
        if made >= kills:
            code = wait(main)
            return made, "" if code == 0 else f"ended with {code}"
        time.sleep(dice.uniform(0.05, 0.9) * seconds)
        if dice.random() < 0.4 and (folder / "graph.json").is_file():
            late = fork(lambda: work_on(folder, "--alone"), log)
            time.sleep(dice.uniform(0.1, 0.3) * seconds)
        hit = dice.choice((main, *workers_of(folder), *([late] if late else [])))
        try:
            os.kill(hit, dice.choice(SIGNALS))
            made += 1
        except ProcessLookupError:
            pass
        if hit != main and dice.random() < 0.5:  # the others go on to the end
            wait(main)
        else:
            os.kill(main, signal.SIGKILL)
            wait(main)
        if late:
            os.kill(late, signal.SIGKILL)
            wait(late)
    return made, "too many attempts"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="of the experiment")
    options = parser.parse_args()
    project = options.folder.resolve()
    os.environ |= {"KFT_CACHE": str(project / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    project.mkdir(parents=True, exist_ok=True)
    preload()
    assert wait(fork(lambda: make_experiment(project, list(range(1, options.seeds + 1))))) == 0
    begin = time.monotonic()
    code = wait(fork(lambda: run_experiment(project, "whole", 2), project / "log.txt"))
    seconds = time.monotonic() - begin
    if code:
        raise SystemExit(f"the undisturbed experiment failed with {code}: {(project / 'log.txt').read_text()[-3000:]}")
    expected = compared(project / "whole")
    dice, made, number = random.Random(options.seed), 0, 0
    found: dict[str, list[str]] = {"differing": [], "lost": [], "litter": [], "stuck": []}
    while made < options.kills:
        name, number = f"killed-{number}", number + 1
        count, problem = attack(project, name, seconds, dice, min(3, options.kills - made))
        made += count
        if problem:
            found["stuck"].append(f"{name}: {problem}: {(project / 'log.txt').read_text()[-2000:]}")
            continue
        ended = compared(project / name)
        odd = {
            "differing": [file for file in expected if ended.get(file, expected[file]) != expected[file]],
            "lost": [file for file in expected if file not in ended],
            "litter": [file for file in ended if file not in expected],
        }
        for kind, files in odd.items():
            found[kind] += [f"{name}: {file}" for file in files]
        if not any(odd.values()):
            shutil.rmtree(project / name)
        print(f"{made} kills, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    print(
        json.dumps({"kills": made, "experiments": number, "seconds": round(seconds), "files": len(expected), **found})
    )


if __name__ == "__main__":
    main()
