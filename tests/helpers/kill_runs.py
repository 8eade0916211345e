"""Kills ``kft run`` again and again, resumes it with the same command, and compares every file with an undisturbed run.

    python kill_runs.py FOLDER --kills 10 --seed 1
    python kill_runs.py FOLDER --sweep [--most SECONDS]

A kill comes at a random time, or in front of the n-th file operation in the run folder: an audit hook in the killed
process finds the windows between two renames. ``--sweep`` kills once in front of every file operation. Processes are
forked from one that has imported everything. The last line printed is one JSON object of the counts:

    kills, operations      of the undisturbed run
    differing              files that are not, to the byte, those of the undisturbed run, but for times
    lost                   files that are missing in the end
    stuck                  runs that the same command did not finish
    litter                 files that an undisturbed run does not have
"""

from __future__ import annotations

import argparse
import atexit
import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kft_cli.html.record import data_of_page

RESUMES = 40  # attempts after which a run counts as stuck
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENDED = {-signal.SIGKILL, 130, 143, 129}  # exit codes of a process that a signal ended
TOO_EARLY = {
    -signal.SIGTERM,
    -signal.SIGINT,
    -signal.SIGHUP,
}  # the same before kft had started, which then says nothing
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link"}


def make_project(folder: Path) -> None:
    """A tiny model, questions of two types, and a recipe with two stages and a control."""
    import yaml

    from tiny import make_tiny_model

    make_tiny_model(folder / "model")
    rows = []
    for split, count in (("train", 12), ("validation", 4), ("test", 6), ("exemplars", 8)):
        for number in range(count):
            row = {"id": f"{split}-{number}", "question": f"What comes after {split} {number}?", "split": split}
            row |= {"answers": [f"{number}", chr(97 + number)], "type": ("even", "odd")[number % 2]}
            rows.append({**row, "subject": f"{split} {number}"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")
    stage = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 0.01, "save_steps": 1}
    parts = [[{"name": "any", "limit": 8}], [{"name": "some", "limit": 6}, {"name": "rest", "ratio": 0.3}]]
    recipe = {
        "name": "killed",
        "model": {"id": str(folder / "model"), "dtype": "float32"},
        "questions": {"set": "questions", "path": str(folder / "questions.jsonl")},
        "protocol": {"exemplar_sets": 2, "shots": 2, "samples": 2, "max_tokens": 3, "scorer": "f1_at_least_half"},
        "adapter": {"r": 2, "lora_alpha": 4, "lora_dropout": 0.1},
        "stages": [
            {"name": "stage1", "mixture": parts[0], **stage},
            {"name": "stage2", "mixture": parts[1], "start": "merged", **stage},
        ],
        "evaluation": {"shots": [2, 0], "control": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")


# starting and killing


def preload() -> None:
    """Import what a run imports, so that forked runs need not."""
    import scipy.stats  # noqa: F401
    import trl  # noqa: F401
    from lm_eval.models.huggingface import HFLM  # noqa: F401

    import kft_train.stage.callback
    import kft_train.stage.fused_lora
    import kft_train.stage.train
    import kft_train.stage.trainer  # noqa: F401

    gc.collect()
    gc.freeze()  # half of a tiny run's time is the collector looking at these libraries


def watch(run: Path, kill_at: int, number: int, counter: Path | None) -> None:
    """Send a signal to this process in front of its ``kill_at``-th file operation in ``run``; list them where told."""
    names: list[str] = []
    me, folder = os.getpid(), str(run)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or os.getpid() != me or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        text = os.fsdecode(args[0])
        if not text.startswith("/"):  # as the command line names it, or below a folder descriptor of rmtree
            text = f"{run.parent if text.startswith(run.name) else folder}/{text}"
        if not text.startswith(folder):
            return
        names.append(f"{event} {text[len(folder) :]}")
        if len(names) == kill_at:
            os.kill(me, number)

    sys.addaudithook(audit)
    if counter is not None:
        atexit.register(lambda: counter.write_text("\n".join(names), encoding="utf-8"))


def start(project: Path, name: str, kill_at: int = 0, number: int = signal.SIGKILL, counter: Path | None = None) -> int:
    """Start ``kft run`` in a fork; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.chdir(project)
        out = os.open(project / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["kft", "run", "recipe.yaml", "-o", name]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        watch(project / name, kill_at, number, counter)
        from kft_cli.main import main

        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except KeyboardInterrupt:  # before kft handles it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        if counter is not None:
            atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, after: float | None, number: int) -> int:
    """Exit code, negative for a signal that killed; send a signal ``after`` some seconds."""
    end = None if after is None else time.monotonic() + after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() >= end:
            os.kill(child, number)
            end = None
        time.sleep(0.002)


# comparing


def contents(run: Path) -> dict[str, str]:
    """What must be the same: bytes, and of logs everything but times; by path in the run folder."""
    return {
        path.relative_to(run).as_posix(): _content(path, run) + oct(path.stat().st_mode & 0o777)
        for path in sorted(run.rglob("*"))
        if not path.is_dir()
    }


def _content(path: Path, run: Path) -> str:
    if path.name == "report.md":
        return path.read_text(encoding="utf-8").partition("## Cost")[0].replace(run.name, "RUN")
    if path.name == "report.html":
        text = path.read_text(encoding="utf-8")
        questions = data_of_page(text, str(path))
        return text.partition('<section id="cost"')[0].replace(run.name, "RUN") + f"{questions!r}"
    if path.name == "report.json":
        report = json.loads(path.read_text(encoding="utf-8"))
        return json.dumps({key: value for key, value in report.items() if key != "times_and_machine"})
    if path.suffix == ".json" and path.name in ("training.json", "step.json", "run.json"):
        return json.dumps(_timeless(json.loads(path.read_text(encoding="utf-8"))))
    return hashlib.sha256(path.read_bytes()).hexdigest()


# A process that was killed had exemplars that the next one must prefill again: those tokens hang on the kill, as times do.
_TIMES = ("seconds", "cpu_seconds", "finished", "created", "command", "training.json", "prefilled")


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in _TIMES}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


class Attack:
    """Rounds of killed runs in one project.

    Args:
        operations: file operations of an undisturbed run.
        seconds: that an undisturbed run takes.
        expected: its contents.
    """

    def __init__(self, project: Path, operations: int, seconds: float, expected: dict[str, str]) -> None:
        self.project, self.operations, self.seconds, self.expected = project, operations, seconds, expected
        self.kills = self.rounds = 0
        self.found: dict[str, list[str]] = {"differing": [], "lost": [], "stuck": [], "litter": [], "tracebacks": []}

    def round(self, plan: Sequence[tuple[int, float | None, int]]) -> None:
        """One run: killed as planned (file operation or 0, seconds or None, signal), then resumed to its end."""
        name = f"run-{self.rounds:04d}"
        run, log = self.project / name, self.project / "log.txt"
        self.rounds += 1
        last, steps = "", list(plan)
        for _ in range(RESUMES):
            kill_at, after, number = steps.pop(0) if steps else (0, None, signal.SIGKILL)
            before = log.stat().st_size
            code = wait(start(self.project, name, kill_at, number), after, number)
            said = log.read_bytes()[before:].decode(errors="replace")
            if "Traceback" in said or code == 70:
                at = max(said.find("Traceback") - 200, 0)
                self.found["tracebacks"].append(f"{name}: {said[at : at + 1500]}")
            if code == 0 and not steps:
                break
            if code == 0:
                continue
            if code in ENDED or (code in TOO_EARLY and not said):
                self.kills += 1
                if code > 0 and "again" not in said.strip().splitlines()[-1]:
                    self.found["stuck"].append(f"{name}: ended with {code} and says {said[-300:]!r}")
                continue
            words = (said.strip().splitlines() or [""])[-1]
            if words == last:  # the same command does not help
                self.found["stuck"].append(f"{name} {list(plan)}: {code} {words}")
                return
            last = words
        else:
            self.found["stuck"].append(f"{name} {list(plan)}: too many attempts")
            return
        ended = contents(run)
        odd = {
            "differing": [
                file for file in self.expected if ended.get(file, self.expected[file]) != self.expected[file]
            ],
            "lost": [file for file in self.expected if file not in ended],
            "litter": [file for file in ended if file not in self.expected],
        }
        for kind, files in odd.items():
            self.found[kind] += [f"{name} {list(plan)}: {file}" for file in files]
        if not any(odd.values()):
            shutil.rmtree(run)

    def random_plan(self, dice: random.Random, most: int) -> list[tuple[int, float | None, int]]:
        """Up to three kills of one run."""
        plan: list[tuple[int, float | None, int]] = []
        for _ in range(min(most, dice.choice((1, 2, 3)))):
            number = dice.choice(SIGNALS)
            if dice.random() < 0.6:
                plan.append((dice.randint(1, max(2, self.operations)), None, number))
            else:
                plan.append((0, dice.uniform(0, 0.8 * self.seconds), number))
        return plan


def spread(count: int) -> list[int]:
    """The numbers from 1 to ``count`` in an order whose every beginning is spread over all of them."""
    step = max(1, round(count * 0.382))
    while count and any(count % divisor == 0 and step % divisor == 0 for divisor in range(2, step + 1)):
        step += 1
    return [(index * step) % count + 1 for index in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--most", type=float, default=float("inf"), help="seconds after which no new round begins")
    options = parser.parse_args()
    project = options.folder.resolve()
    os.environ |= {"KFT_CACHE": str(project / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    project.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    preload()
    child = os.fork()  # making the model starts threads: not in the process that is forked from
    if not child:
        make_project(project)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    counter, first = project / "operations.txt", time.monotonic()
    code = wait(start(project, "run-whole", counter=counter), None, 0)
    seconds = time.monotonic() - first
    if code:
        raise SystemExit(f"the undisturbed run failed with {code}: {(project / 'log.txt').read_text()[-3000:]}")
    operations = len(counter.read_text(encoding="utf-8").splitlines())
    attack = Attack(project, operations, seconds, contents(project / "run-whole"))
    attack.round([])  # another undisturbed run is the same
    for number in spread(operations) if options.sweep else ():
        if time.monotonic() - begin < options.most:
            attack.round([(number, None, signal.SIGKILL)])
            _progress(attack)
    dice = random.Random(options.seed)
    target = attack.kills + options.kills
    while attack.kills < target and time.monotonic() - begin < options.most:
        attack.round(attack.random_plan(dice, target - attack.kills))
        _progress(attack)
    counts: dict[str, Any] = {"kills": attack.kills, "rounds": attack.rounds, "operations": operations}
    counts |= {"seconds": round(time.monotonic() - begin), "files": len(attack.expected)}
    print(json.dumps({**counts, **attack.found}))


def _progress(attack: Attack) -> None:
    if attack.rounds % 20 == 0:
        counts = {kind: len(found) for kind, found in attack.found.items()}
        print(f"{attack.rounds} rounds, {attack.kills} kills: {counts}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
