"""The page of ``results/speed``: ``PYTHONPATH=results/speed python -m step_costs.page results/speed``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kft_cli.display.tables import Code, Links, Section, Table, make_table, markdown_document, percent
from kft_tasks.files import atomic_write, read_json

_LEAD = (
    "One recipe, `same-recipe.yaml` (300 training, 60 validation and 240 test questions, float32), was run by two "
    "versions of kft on the same quiet machine, one after the other. `steps.json` holds what every step recorded, "
    "`profile.json` a profile of the later version's first detection. Two benchmarks set kft beside other ways:"
)
_LINKS = Links(
    (
        ("detection", "../benchmark-float32-all-types/benchmark.md"),
        ("training", "../benchmark-training/benchmark.md"),
    )
)
_CAPTION = (
    "CPU-seconds of each step, by its own process. A dash: this version does not have the step. The later version "
    "measures what changed on draws of its own (measure) and tests with four exemplar sets and with exemplars of "
    "another type, so that a test step asks five answers where it asked one."
)


def render(steps: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """Markdown of the page.

    Args:
        steps: content of ``steps.json``, by version.
        profile: content of ``profile.json``.
    """
    commands = "\n".join(f"git checkout {one['commit']}; {one['command']}" for one in steps.values())
    sections = [
        Section("See also", (_LINKS,)),
        Section("CPU-seconds, step by step", (_step_table(steps), _equal_work(steps))),
        Section(
            "Where the time of a detection goes", (_part_table(profile), _product_table(profile), _reading(profile))
        ),
        Section("Repeat", (Code(commands),)),
    ]
    return markdown_document("Speed, before and after", sections, (_LEAD,))


def _step_table(steps: Mapping[str, Any]) -> Table:
    costs = {version: {step["step"]: step for step in one["steps"]} for version, one in steps.items()}
    names = list(dict.fromkeys(name for one in costs.values() for name in one))
    rows = [[name, *(_cost(one.get(name)) for one in costs.values())] for name in names]
    rows.append(["all", *(f"{sum(step['cpu_seconds'] for step in one.values()):.0f}" for one in costs.values())])
    heads = " | ".join(f"{version} ({one['commit']}) >" for version, one in steps.items())
    return make_table(f"step | {heads}", rows, _CAPTION)


def _cost(step: Mapping[str, Any] | None) -> str:
    return "–" if step is None else f"{step['cpu_seconds']:.1f}"


def _equal_work(steps: Mapping[str, Any]) -> str:
    """The sum over the steps that do the same work in both versions, and the cost of one answer of a test."""
    first, second, *_ = ({step["step"]: step for step in one["steps"]} for one in steps.values())
    same = [name for name in first if name in second and not name.startswith("evaluate")]
    before, after = (sum(one[name]["cpu_seconds"] for name in same) for one in (first, second))
    answers = [
        sum(step["cpu_seconds"] for name, step in one.items() if name.startswith("evaluate"))
        / sum(step["generations"]["made"] for name, step in one.items() if name.startswith("evaluate"))
        for one in (first, second)
    ]
    return (
        f"Steps that do the same work in both versions ({', '.join(same)}): {before:.0f} and {after:.0f} CPU-seconds, "
        f"{before / after:.2f} times as many before. A test answer took {1000 * answers[0]:.0f} and "
        f"{1000 * answers[1]:.0f} CPU-milliseconds."
    )


def _part_table(profile: Mapping[str, Any]) -> Table:
    total = profile["cpu_seconds"]
    rows = [
        [
            name,
            f"{part['cpu_seconds']:.1f}",
            percent(part["cpu_seconds"] / total),
            f"{part['calls']:,}",
            f"{part['operations'] / part['cpu_seconds'] / 1e9:.0f}" if part["operations"] else "–",
        ]
        for name, part in profile["parts"].items()
    ]
    machine = profile["hardware"]
    caption = (
        f"{profile['questions']} questions of all types, full protocol, float32, one thread, {total:.1f} CPU-seconds. "
        f"{machine['cpu'] or 'unknown processor'}; torch {profile['versions']['torch']}."
    )
    return make_table("part | CPU s > | share > | calls > | GFLOP/s >", rows, caption)


def _product_table(profile: Mapping[str, Any]) -> Table:
    rows = [[size, f"{speed / 1e9:.0f}"] for size, speed in profile["products"].items()]
    return make_table("plain product | GFLOP/s >", rows, "Rows x inner size x columns, measured after the detection.")


def _reading(profile: Mapping[str, Any]) -> str:
    parts, fastest = profile["parts"], max(profile["products"].values())
    names = ("linear layers", "output layer")
    operations = sum(parts[name]["operations"] for name in names)
    seconds = sum(parts[name]["cpu_seconds"] for name in names)
    whole, own = operations / profile["cpu_seconds"] / fastest, operations / seconds / fastest
    head = parts["output layer"]
    saved = (head["cpu_seconds"] - head["operations"] / fastest) / profile["cpu_seconds"]
    return (
        f"All products together run at {percent(own)} of the fastest plain product; the whole detection, with "
        f"everything that is no product, at {percent(whole)}. The output layer multiplies with all rows of the "
        f"vocabulary, because the 40 best tokens are not known before; at the fastest product's speed it would save "
        f"{percent(saved)}."
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Write README.md of FOLDER from its steps.json and profile.json."""
    with atomic_write(folder / "README.md") as stream:
        stream.write(render(read_json(folder / "steps.json", dict), read_json(folder / "profile.json", dict)))


if __name__ == "__main__":
    main()
