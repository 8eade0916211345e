"""The graph of entities: do the questions that rose without training touch the trained ones more than chance has it?

Nodes are entities, the subject and the first accepted answer of each measured question; every question joins its two.
The paper reports that 81.5 % of the nodes of upgraded questions touch trained ones, without what chance would give. The
chance here: among the untrained questions, the upgraded ones are any others of the same type and the same first
category, as many of each as there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kft_cli.experiment.record import GraphRecord
from kft_cli.experiment.values import HIGHLY, RunValues, TrainValues
from kft_cli.report.run_layout import BASE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Entities = Mapping[str, tuple[str, ...]]
"""Entities of each question, by id."""

PERMUTATIONS = 999
SEED = 20_240_505


def measure_graphs(runs: Mapping[str, Sequence[RunValues]], entities: Entities) -> list[GraphRecord]:
    """The first stage of every arm; arms that share it share what is found.

    Args:
        runs: of each arm, in the order of seeds.
    """
    found: dict[bytes, GraphRecord | None] = {}
    records = []
    for arm, chosen in runs.items():
        key = b"|".join(_stage_bytes(run) for run in chosen)
        if key not in found:
            found[key] = measure_graph(arm, chosen, entities)
        if (record := found[key]) is not None:
            records.append(record.model_copy(update={"arm": arm}))
    return records


def _stage_bytes(run: RunValues) -> bytes:
    """What the graph of a run's first stage depends on."""
    if run.train is None or run.first_stage is None:
        return b""
    train, point = run.train, run.first_stage
    parts = (train.detected, train.level[BASE], train.level[point], train.trained[point])
    return point.encode() + b"".join(part.tobytes() for part in parts)


def measure_graph(arm: str, runs: Sequence[RunValues], entities: Entities) -> GraphRecord | None:
    """The first stage of an arm, over its seeds; None where nothing was trained or measured."""
    import numpy as np

    chosen = [(run.train, run.first_stage) for run in runs if run.train is not None and run.first_stage]
    if not chosen:
        return None
    stage = str(chosen[0][1])
    graph = _graph(entities)
    rng = np.random.default_rng(SEED)
    found = [_one(train, str(point), entities, graph, rng) for train, point in chosen if train is not None]
    some = [one for one in found if one is not None]
    record: dict[str, Any] = {
        "arm": arm,
        "stage": stage,
        "seeds": len(found),
        "nodes": graph.number_of_nodes(),
        "edges": graph.number_of_edges(),
        "components": _components(graph),
        "permutations": PERMUTATIONS if some else 0,
    }
    shares = ("touching", "expected", "low", "high", "p", "nodes_touching", "nodes_expected")
    empty: dict[str, Any] = dict.fromkeys(shares)
    if not some:
        return GraphRecord(**record, untrained=0, upgraded=0, **empty)
    touching = float(np.mean([one["touching"] for one in some]))
    null = np.mean([one["null"] for one in some], axis=0)
    low, high = np.quantile(null, (0.025, 0.975))
    more, less = int((null >= touching - 1e-12).sum()), int((null <= touching + 1e-12).sum())
    return GraphRecord(
        **record,
        untrained=float(np.mean([one["untrained"] for one in some])),
        upgraded=float(np.mean([one["upgraded"] for one in some])),
        touching=touching,
        expected=float(null.mean()),
        low=float(low),
        high=float(high),
        p=min(1.0, 2 * (1 + min(more, less)) / (1 + PERMUTATIONS)),
        nodes_touching=float(np.mean([one["nodes"] for one in some])),
        nodes_expected=float(np.mean([one["nodes_null"] for one in some])),
    )


def _graph(entities: Entities) -> Any:
    """The graph with an edge for every question of two entities."""
    import networkx

    graph = networkx.Graph()
    for names in entities.values():
        graph.add_nodes_from(names)
        if len(names) == 2:
            graph.add_edge(*names)
    return graph


def _components(graph: Any) -> int:
    import networkx

    return int(networkx.number_connected_components(graph))


def _one(
    train: TrainValues, point: str, entities: Entities, graph: Any, rng: np.random.Generator
) -> dict[str, Any] | None:
    """One seed: share of upgraded questions that touch trained ones, and the same under permutations."""
    import numpy as np

    trained = train.trained[point]
    could = ~trained & (train.level[BASE] < HIGHLY)
    upgraded = could & (train.level[point] > train.level[BASE])
    if not upgraded.any():
        return None
    known = {name for id_, one in zip(train.ids, trained, strict=True) if one for name in entities[id_]}
    touches = np.array([any(name in known for name in entities[id_]) for id_ in train.ids])
    near = known | {other for name in known for other in graph[name]}
    nodes = np.array([sum(name in near for name in entities[id_]) for id_ in train.ids], dtype=float)
    sizes = np.array([len(entities[id_]) for id_ in train.ids], dtype=float)
    strata = list(zip(train.groups.types, train.detected.tolist(), strict=True))
    draws = _draws(upgraded, could, strata, rng)
    return {
        "untrained": int(could.sum()),
        "upgraded": int(upgraded.sum()),
        "touching": float(touches[upgraded].mean()),
        "null": touches[draws].mean(axis=1),
        "nodes": float(nodes[upgraded].sum() / max(1.0, sizes[upgraded].sum())),
        "nodes_null": float(nodes[draws].sum() / max(1.0, sizes[draws].sum())),
    }


def _draws(upgraded: Flags, could: Flags, strata: Sequence[Any], rng: np.random.Generator) -> Any:
    """Other sets of upgraded questions, as many of each stratum: indices of shape (permutations, upgraded)."""
    import numpy as np

    members: dict[Any, list[int]] = {}
    for index in np.flatnonzero(could):
        members.setdefault(strata[int(index)], []).append(int(index))
    parts = []
    for indices in members.values():
        count = int(upgraded[indices].sum())
        if count:
            order = rng.random((PERMUTATIONS, len(indices))).argsort(axis=1)[:, :count]
            parts.append(np.array(indices)[order])
    return np.concatenate(parts, axis=1)
