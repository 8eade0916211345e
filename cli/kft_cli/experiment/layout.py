"""The layout of an experiment's folder.

    experiment.yaml        the file of the experiment, with every arm in full
    graph.json             runs, steps, and which steps need which
    steps/KEY/STEP/        a finished step, once for all runs that have it; failed.json if it failed
    runs/ARM/seed-N/       one run folder for each arm and seed; their steps are links to those in steps/
    values/ARM/seed-N.json what came out of each run, by question; it stands for a run whose folder is gone
    cost.json              what the finished steps took
    experiment.json        what came out: hypotheses, tables; experiment.md and experiment.html show it
    workers/               what each worker is doing, and what it printed

KEY is the digest of all that the step's result follows from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FAILED = "failed.json"


@dataclass(frozen=True)
class ExperimentLayout:
    """Where everything in an experiment's folder is; nothing is read or created."""

    folder: Path

    @property
    def marker(self) -> Path:
        """The file that marks a folder as an experiment."""
        return self.folder / ".kft-experiment"

    @property
    def file(self) -> Path:
        """The file of the experiment."""
        return self.folder / "experiment.yaml"

    @property
    def graph(self) -> Path:
        """Runs and steps."""
        return self.folder / "graph.json"

    @property
    def cost(self) -> Path:
        """What the finished steps took."""
        return self.folder / "cost.json"

    @property
    def record(self) -> Path:
        """What came out."""
        return self.folder / "experiment.json"

    @property
    def page(self) -> Path:
        """The page that shows what came out."""
        return self.folder / "experiment.md"

    @property
    def html(self) -> Path:
        """The same as one HTML file."""
        return self.folder / "experiment.html"

    @property
    def workers(self) -> Path:
        """Folder of the workers' states and logs."""
        return self.folder / "workers"

    @property
    def steps(self) -> Path:
        """Folder of the folders that hold one step each."""
        return self.folder / "steps"

    def home(self, key: str) -> Path:
        """The folder that holds one step; it is made when the step is started."""
        return self.steps / key

    def kept(self, arm: str, seed: int) -> Path:
        """What came out of one run, by question."""
        return self.folder / "values" / arm / f"seed-{seed}.json"

    def failed(self, key: str) -> Path:
        """How a step failed."""
        return self.home(key) / FAILED

    def run(self, arm: str, seed: int) -> Path:
        """The run folder of an arm under a seed."""
        return self.folder / "runs" / arm / f"seed-{seed}"

    def failed_report(self, arm: str, seed: int) -> Path:
        """How the report of a run failed."""
        return self.run(arm, seed) / FAILED
