"""The sections of an experiment's page. "Table n" is that of the paper which shows the same, by content."""

from __future__ import annotations

import math

from kft_cli.display.tables import NONE, Block, Table, duration, make_table, number, p_value, percent, plain
from kft_cli.experiment.cells import (
    change_cell,
    count_cell,
    level_cell,
    mean_cell,
    place_cells,
    quantity_cell,
    size_cell,
    spread_cell,
)
from kft_cli.experiment.record import ExperimentRecord, HypothesisRecord, MatrixRecord, SpreadRecord
from kft_cli.report.run_layout import BASE

_INTERVAL = (
    "In brackets: 95 % intervals for other seeds and other types of questions together (seeds and clusters cross; "
    "Student's t); for other subjects where there is one type only."
)


def hypotheses(record: ExperimentRecord) -> list[Block]:
    """One row for each hypothesis: what was claimed, what came out, and what could have been seen."""
    if not record.hypotheses:
        return []
    rows = [_hypothesis_row(row) for row in record.hypotheses]
    heads = "hypothesis | verdict | measure | arm > | against > | difference > | p > | p, Holm > | at least | seen >"
    claims = "\n".join(f"- **{plain(row.hypothesis.name)}**: {_claim(row)}" for row in record.hypotheses)
    count = sum(row.p is not None for row in record.hypotheses)
    caption = (
        f"*Difference*: percentage points (nats per token for text), mean over seeds. {_INTERVAL} *p*: by the test "
        "that the hypothesis names, two-sided: signs of whole seeds flipped, or Student's t of the interval. *Holm*: "
        f"corrected over all {count} hypotheses. Supported: p, Holm below 0.05, an interval without 0, and the right "
        "direction. Contradicted: as clear in the other direction, or clearly smaller than the smallest difference of "
        "interest (a test of that size, Holm, and the interval). *At least*: the smallest difference of interest, and "
        "whether the whole interval is beyond it. *Seen*: a difference that would have had an interval without 0 in "
        "80 % of repetitions, before any correction."
    )
    return [claims, make_table(heads, rows, caption)]


def _hypothesis_row(row: HypothesisRecord) -> list[str]:
    one = row.hypothesis
    test = "flips" if one.test == "sign_flips" else "t"
    sign = "+" if one.direction == "higher" else "−"
    beyond = "yes" if row.large_enough else "no"
    smallest = f"{sign}{one.smallest:g}: {beyond}" if one.smallest else NONE
    return [
        one.name,
        row.verdict,
        quantity_cell(one.measure, one.shots, one.questions, one.task),
        mean_cell(one.measure, row.arm_mean),
        mean_cell(one.measure, row.against_mean),
        change_cell(one.measure, row.change),
        f"{p_value(row.p)} ({test})",
        p_value(row.holm_p),
        smallest,
        size_cell(one.measure, row.change.detectable),
    ]


def _claim(row: HypothesisRecord) -> str:
    one = row.hypothesis
    against = ""
    if one.against is not None:
        places = (one.against.arm or one.arm, one.against.point)
        against = " against " + ", ".join(plain(place) for place in places if place)
    where = ", ".join(plain(place) for place in (one.arm, one.point) if place)
    seeds = f"{len(row.seeds)} seed{'s' if len(row.seeds) != 1 else ''}"
    why = plain(row.why.rstrip("."))
    return f"{plain(one.sentence)} ({where}{against}; {seeds}.) **{row.verdict.capitalize()}**: {why}."


def arms(record: ExperimentRecord) -> list[Block]:
    """What each arm did and cost."""
    rows = [
        [
            arm.name,
            number(len(arm.seeds)),
            " → ".join(arm.points),
            spread_cell(arm.steps),
            spread_cell(arm.questions),
            number(round(arm.tokens.mean)),
            duration(arm.seconds.mean),
        ]
        for arm in record.arms
    ]
    caption = (
        "*Optimiser steps* of all stages, *trained questions*: different ones in the mixtures of all stages; means "
        "over seeds, in brackets the extremes. *Tokens* read, written and trained on, and *time* of all steps of a "
        "run, those included that arms share. In all tables below, a point that arms share stands once, at "
        "the first of them, unless it is an arm's last."
    )
    heads = "arm | seeds > | points | optimiser steps > | trained questions > | tokens > | time >"
    described = [f"- **{plain(arm.name)}**: {plain(arm.description)}" for arm in record.arms if arm.description]
    blocks: list[Block] = ["\n".join(described)] if described else []
    blocks.append(make_table(heads, rows, caption))
    stages = [
        [
            arm.name,
            stage.name,
            spread_cell(stage.steps),
            spread_cell(stage.questions),
            ", ".join(f"{name} {spread_cell(part)}" for name, part in stage.parts.items()),
            spread_cell(_whole(stage.tokens)),
        ]
        for arm in record.arms
        for stage in arm.stages
    ]
    if stages:
        caption = "Stages, by arm. *Questions*: of one epoch, then by part of the mixture. *Tokens*: trained on."
        heads = "arm | stage | optimiser steps > | questions > | of them | tokens >"
        blocks.append(make_table(heads, stages, caption))
    if steps := _different_steps(record):
        blocks.append(steps)
    return blocks


def _whole(spread: SpreadRecord) -> SpreadRecord:
    return SpreadRecord(mean=round(spread.mean), least=spread.least, most=spread.most)


def _different_steps(record: ExperimentRecord) -> str | None:
    """A sentence where trained arms did not take the same number of optimiser steps."""
    taken = {arm.name: arm.steps.mean for arm in record.arms if arm.points != [BASE]}
    if len({round(steps) for steps in taken.values()}) < 2:
        return None
    listed = ", ".join(f"{plain(name)} {number(round(steps, 1))}" for name, steps in taken.items())
    return (
        f"**The arms did not all take the same number of optimiser steps** ({listed}). A difference between two of "
        "them is also one of the amount of training."
    )


def accuracy(record: ExperimentRecord) -> list[Block]:
    """Test accuracy of every arm at every point (tables 7 and 8)."""
    blocks: list[Block] = []
    for held_out in (False, True):
        chosen = [row for row in record.accuracy if row.held_out_types is held_out]
        if not chosen:
            continue
        rows = [
            [
                *place_cells(row.arm, row.point),
                number(row.shots),
                number(row.level.seeds),
                level_cell(row.level),
                change_cell("test_accuracy", row.from_base),
            ]
            for row in chosen
        ]
        questions = "questions of types that no arm trained on" if held_out else "test questions"
        caption = (
            f"Share of right answers to {chosen[0].n:,} {questions}, under {chosen[0].sets} exemplar sets where there "
            f"are exemplars (tables 7 and 8 of the paper, by content). *Change*: from the base model, in points. "
            f"{_INTERVAL}"
        )
        if held_out:
            blocks.append("**Types held out of training**")
        blocks.append(make_table("arm | point | exemplars > | seeds > | accuracy > | change >", rows, caption))
    return blocks


def highly_known(record: ExperimentRecord) -> list[Block]:
    """HighlyKnown questions (table 10)."""
    if not record.highly_known:
        return []
    rows = [
        [
            *place_cells(row.arm, row.point),
            row.questions,
            count_cell(row.count),
            count_cell(row.n),
            level_cell(row.level),
            change_cell("highly_known", row.from_base),
        ]
        for row in record.highly_known
    ]
    caption = (
        "Training questions of which every greedy answer is right on the draw that measures, whose exemplars chose no "
        "question (table 10). *Trained*: by a stage up to this point. Counts are means over seeds. *Change*: of the "
        f"share from the base model, in points. {_INTERVAL}"
    )
    heads = "arm | point | questions | HighlyKnown > | of > | share > | change >"
    return [make_table(heads, rows, caption)]


def kept(record: ExperimentRecord) -> list[Block]:
    """What became of the questions that were HighlyKnown."""
    if not record.kept:
        return []
    rows = [
        [
            *place_cells(row.arm, row.point),
            count_cell(row.n),
            count_cell(row.kept),
            count_cell(row.maybe),
            count_cell(row.never),
            level_cell(row.level),
            change_cell("kept", row.from_base),
        ]
        for row in record.kept
    ]
    caption = (
        "Questions that the base model's detection found HighlyKnown, by their level on the draw that measures: kept "
        "(HighlyKnown), MaybeKnown, never right. The draw that measures did not choose them, so the base model's own "
        "row is not 100 %: that much is measurement alone. *Change*: of the share kept, from the base model, in "
        f"points: what is below 0 was forgotten. {_INTERVAL}"
    )
    heads = "arm | point | n > | kept > | MaybeKnown > | never right > | share kept > | change >"
    return [make_table(heads, rows, caption)]


def elsewhere(record: ExperimentRecord) -> list[Block]:
    """Held-out text and further tasks."""
    blocks: list[Block] = []
    if record.text:
        rows = [
            [
                *place_cells(row.arm, row.point),
                f"{row.level.mean:.3f}",
                f"{math.exp(min(row.level.mean, 700)):.2f}",
                change_cell("text_loss", row.from_base),
            ]
            for row in record.text
        ]
        caption = (
            f"Mean negative log-likelihood of {record.passages} passages of prose ({record.text_tokens:,} tokens) that "
            "have nothing to do with the questions, in nats per token, and its exponential, perplexity. *Change*: from "
            "the base model; above 0 the text is predicted less well. In brackets: 95 % intervals for other seeds and "
            "other passages."
        )
        blocks.append(make_table("arm | point | loss > | perplexity > | change >", rows, caption))
    if record.tasks:
        rows = [
            [
                *place_cells(row.arm, row.point),
                f"{row.task}, {row.metric}",
                f"{row.level.mean:.3f}" + ("" if row.stderr is None else f" ± {row.stderr:.3f}"),
                change_cell("also", row.from_base),
            ]
            for row in record.tasks
        ]
        caption = (
            "Further tasks of lm-eval, with its standard error (mean over seeds). *Change*: from the base model, with "
            "a 95 % interval for other seeds and other documents where the metric is a mean over documents."
        )
        blocks.append(make_table("arm | point | task | value > | change >", rows, caption))
    return blocks


def by_category(record: ExperimentRecord) -> list[Block]:
    """Test accuracy by first category (table 9)."""
    if not record.by_category:
        return []
    names = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
    found = {(row.arm, row.point, row.shots, row.category): row for row in record.by_category}
    rows = []
    for arm, point, shots in dict.fromkeys((row.arm, row.point, row.shots) for row in record.by_category):
        cells = [found.get((arm, point, shots, name)) for name in names]  # type: ignore[arg-type]
        shown = [NONE if cell is None else f"{percent(cell.mean)} of {count_cell(cell.n)}" for cell in cells]
        rows.append([*place_cells(arm, point), number(shots), *shown])
    caption = (
        "Share of right answers to the test questions of each category that the base model's detection found, and the "
        "number of such questions (table 9). Means over seeds."
    )
    return [make_table(f"arm | point | exemplars > | {' > | '.join(names)} >", rows, caption)]


def transitions(record: ExperimentRecord) -> list[Block]:
    """Category before x level after (tables 3, 4 and 11)."""
    blocks: list[Block] = []
    for matrix in record.transitions:
        if matrix.point == BASE:
            title = "**The base model asked twice**, by other exemplars (table 4): this much is measurement alone."
        else:
            title = f"**{plain(matrix.arm)}, {plain(matrix.point)}**"
        blocks += [title, _matrix_table(matrix)]
    if blocks:
        note = (
            "Rows: category in the base model's detection. Columns: level on the draw that measures, greedy answers "
            "only (tables 3 and 11). Cells: number of questions, mean over seeds, and share of the row."
        )
        blocks.insert(0, note)
    return blocks


def _matrix_table(matrix: MatrixRecord) -> Table:
    rows = []
    for before, line in matrix.counts.items():
        total = sum(line.values())
        shares = [f"{count_cell(count)}: {percent(count / total)}" if total else "0" for count in line.values()]
        rows.append([before, count_cell(total), *shares])
    return make_table("before | n > | HighlyKnown > | MaybeKnown > | never right >", rows)


def growth(record: ExperimentRecord) -> list[Block]:
    """Both ways of counting behind the paper's 24 %."""
    if not record.growth:
        return []
    rows = [
        [
            row.arm,
            *(count_cell(count) for count in row.counts),
            percent(row.of_count),
            change_cell("growth_of_gain", row.of_gain).replace(" (", " % (", 1),
            plain(row.of_gain.reason or ""),
        ]
        for row in record.growth
    ]
    caption = (
        "HighlyKnown training questions on the draw that measures, means over seeds (tables 10 to 12). *Count*: growth "
        "of their number from the first to the last stage. *Gain*: growth of what was gained over the base model, in "
        "percent, with its 95 % interval: this is how the paper comes to its 24 %, where the count grows by 7.5 %."
    )
    heads = "arm | base > | first stage > | last stage > | count > | gain > | note"
    moves = [
        [one.arm, f"{one.before} → {one.after}", *(count_cell(n) for n in (one.higher, one.lower, one.same))]
        for one in record.moves
    ]
    words = (
        "Questions whose level rose, fell or stayed from one point to the next, on the same exemplars; means over "
        "seeds (tables 11 and 12: a third stage changes little)."
    )
    return [
        make_table(heads, rows, caption),
        make_table("arm | from → to | rose > | fell > | stayed >", moves, words),
    ]


def epochs(record: ExperimentRecord) -> list[Block]:
    """Validation accuracy by epoch (table 6)."""
    if not record.epochs:
        return []
    longest = max(row.epoch for row in record.epochs)
    found = {(row.arm, row.stage, row.epoch): row for row in record.epochs}
    rows = []
    for arm, stage in dict.fromkeys((row.arm, row.stage) for row in record.epochs):
        cells = []
        for epoch in range(longest + 1):
            row = found.get((arm, stage, epoch))
            chosen = f" [{row.chosen}]" if row is not None and row.chosen else ""
            cells.append(NONE if row is None else f"{percent(row.mean)}{chosen}")
        rows.append([arm, stage, *cells])
    caption = (
        "Validation accuracy before training (0) and after each epoch, mean over the seeds that trained it (table 6); "
        "in square brackets how many seeds kept that epoch. Epochs were chosen by these numbers: they are no evidence."
    )
    return [make_table(["arm", "stage", *(f"epoch {epoch} >" for epoch in range(longest + 1))], rows, caption)]


def graph(record: ExperimentRecord) -> list[Block]:
    """Upgraded questions and trained ones in the graph of entities (table 5)."""
    rows = [
        [
            one.arm,
            one.stage,
            count_cell(one.untrained),
            count_cell(one.upgraded),
            percent(one.touching),
            NONE
            if one.expected is None or one.low is None or one.high is None
            else f"{percent(one.expected)} ({100 * one.low:.1f}–{100 * one.high:.1f})",
            p_value(one.p),
            percent(one.nodes_touching),
            percent(one.nodes_expected),
        ]
        for one in record.graph
    ]
    if not rows:
        return []
    first = record.graph[0]
    caption = (
        f"Nodes are the {first.nodes:,} entities of the measured questions (subject and first accepted answer), joined "
        f"by {first.edges:,} questions; {first.components:,} components. *Upgraded*: untrained questions whose level "
        "rose by the first stage, means over seeds. *Touching*: share of them with an entity of a trained question. "
        f"*Chance*: the same if the upgraded ones were any of the untrained ones of their type and category "
        f"({first.permutations:,} permutations, in brackets 95 % of them); *p*: two-sided, by the permutations. "
        "*Nodes*: share of the upgraded questions' entities that are those of trained questions or next to one, and "
        "what chance gives; the paper's 81.5 % (table 5) is of this kind and comes without the latter."
    )
    heads = "arm | stage | untrained > | upgraded > | touching > | chance > | p > | nodes > | nodes, chance >"
    return [make_table(heads, rows, caption)]


def exploratory(record: ExperimentRecord) -> list[Block]:
    """All other pairs of arms."""
    if not record.exploratory:
        return []
    rows = [
        [
            quantity_cell(row.measure, row.shots, row.questions, row.task),
            row.arm,
            row.against,
            number(row.seeds),
            change_cell(row.measure, row.change),
            p_value(row.change.p_sign_flips),
            p_value(row.change.p_crossed_t),
        ]
        for row in record.exploratory
    ]
    caption = (
        "**Exploratory**: no hypothesis asked for these comparisons before the run, nothing is corrected for their "
        f"number ({len(rows)}), and no verdict follows. After the last stage of each arm, paired by seed and question. "
        f"*Difference*: points; nats per token of text. {_INTERVAL} *p*: signs of whole seeds flipped; Student's t."
    )
    heads = "measure | arm | against | seeds > | difference > | p, flips > | p, t >"
    return [make_table(heads, rows, caption)]


def cost(record: ExperimentRecord) -> list[Block]:
    """Time and tokens of the whole experiment, and what sharing saved."""
    found = record.cost
    if found is None:
        return []
    named = {**found.kinds, "all steps, each once": found.total, f"{found.runs} runs, one by one": found.separate}
    rows = [
        [name, number(one.steps), duration(one.seconds), duration(one.cpu_seconds), number(round(one.tokens))]
        for name, one in named.items()
    ]
    caption = (
        "What the steps took that are done; *tokens* are read, written or trained on. Steps that runs have in common "
        f"are done once, which saved {percent(found.saved)} of the time of separate runs."
    )
    return [make_table("steps | number > | time > | CPU time > | tokens >", rows, caption)]
