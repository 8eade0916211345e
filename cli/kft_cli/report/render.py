"""The report as Markdown: a pure function of its JSON values, so that a published report.json can be rendered again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft_cli.display.tables import (
    NONE,
    Block,
    Code,
    Figure,
    Section,
    Table,
    count_and_share,
    difference,
    duration,
    make_table,
    markdown_document,
    number,
    p_value,
    percent,
    plain,
    share,
    visible,
)
from kft_cli.report.render_paper import comparable_movements, comparable_shares, growth_words
from kft_cli.report.verdict import verdict
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.scoring.scorers import SCORERS

Report = Mapping[str, Any]

CATEGORIES = [category.value for category in KnowledgeCategory]
_SCORERS = {
    "exact_match": "the answer equals an accepted one (case, punctuation and articles aside)",
    "answer_contained": "an accepted answer stands in the answer given, as whole words",
    "spelled_match": "the answer equals an accepted one (spelling of names, numbers, dates and accents aside)",
    "answer_match": "the answer amounts to an accepted one, with nothing of substance added",
    "answer_stated": "the answer amounts to an accepted one, or a sentence states one (no denials, no lists)",
    "answer_in_sentence": "the answer stands in an accepted sentence and says more than the question",
    "f1_at_least_half": "word overlap (F1) with an accepted answer of 0.5 or more",
    "paper_substring": "the first accepted answer is a substring of the answer given",
}
_CHANCE = " | by chance > | more than by chance, points >"
_INTERVALS = "In brackets: 95 % intervals."


def render_report(report: Report) -> str:
    """The whole report as Markdown."""
    return markdown_document(f"Report of run {plain(report['run']['name'])}", report_sections(report), verdict(report))


def report_sections(report: Report) -> list[Section]:
    """All sections in their order, for Markdown or for a terminal."""
    makers: tuple[tuple[str, Callable[[Report], list[Block]]], ...] = (
        ("What was run", _what_was_run),
        ("What the model knows: categories of the training questions", _categories),
        ("What moved: category before and after", _transitions),
        ("Test accuracy", _test),
        ("What each stage trained on", _stages),
        ("Trained and untrained questions", _trained),
        ("Examples", _examples),
        ("Cost", _cost),
        ("How to repeat it", _repeat),
        ("Beside the paper", _paper),
    )
    return [Section(title, tuple(make(report))) for title, make in makers]


def summary_sections(report: Report) -> list[Section]:
    """Verdict and main tables, for a terminal."""
    name = report["run"]["name"]
    return [
        Section(f"Run {name}", (verdict(report),)),
        Section("Training questions by category", tuple(b for b in _categories(report) if isinstance(b, Table))),
        Section("What moved", (_movements(report),)),
        Section("Test accuracy", (_test_accuracy(report), _test_differences(report["test"]))),
    ]


def _what_was_run(report: Report) -> list[Block]:
    run = report["run"]
    counts, protocol = run["questions"], run["protocol"]
    asked = f"{protocol['exemplar_sets']} prompts of {protocol['shots']} exemplars, one greedy answer each"
    if protocol["samples"]:
        asked += (
            f"; where all are wrong, {protocol['samples']} samples a prompt at temperature "
            f"{protocol['temperature']:g}, top-k {protocol['top_k']}"
        )
    skipped = "every answer was generated" if run["exhaustive"] else "answers that cannot change a category are skipped"
    rows = [
        ("recipe", f"{run['name']}: {run['description']}" if run["description"] else run["name"]),
        ("model", f"{run['model']} ({run['dtype']}, weights {run['weights'][:12]})"),
        ("questions", f"{run['question_set']} (version {run['question_set_version']})"),
        ("split", ", ".join(f"{split} {number(count)}" for split, count in counts.items())),
        ("detection", f"{asked}; {skipped}"),
        ("right means", f"{protocol['scorer']}: {_scorer_words(protocol['scorer'])}"),
        *((stage["name"], _settings(stage["settings"])) for stage in report["stages"]),
        ("seed", str(run["seed"])),
    ]
    return [make_table("what | value", [(key, visible(value, 400)) for key, value in rows])]


def _scorer_words(name: str) -> str:
    """A rule for "right" in one line: ours, or the first line of its own documentation."""
    own = (
        (SCORERS[name].__doc__ or "").strip().partition("\n")[0] if name in SCORERS else "see kft_tasks.scoring.scorers"
    )
    return _SCORERS.get(name, own)


def _settings(stage: Mapping[str, Any]) -> str:
    starts = {
        "new": "a new LoRA adapter",
        "continue": "the adapter of the stage before, trained on",
        "merged": "the adapter of the stage before merged into the model, and a new one",
    }
    batch = stage["per_device_train_batch_size"] * stage["gradient_accumulation_steps"]
    return (
        f"{starts[stage['start']]}; learning rate {stage['learning_rate']:g}, weight decay {stage['weight_decay']:g}, "
        f"batch {batch}, at most {stage['num_train_epochs']} epochs, loss on the {stage['loss']}"
    )


def _categories(report: Report) -> list[Block]:
    bars = [(point, shares) for point, shares in report["categories"].items()]
    if report["control"]:
        bars.insert(1, ("base again (control)", report["control"]["shares"]))
    n = sum(entry["count"] for entry in bars[0][1].values())
    rows = [
        [point, *(f"{number(shares[name]['count'])}: {share(shares[name])}" for name in CATEGORIES)]
        for point, shares in bars
    ]
    intro = (
        "Each question is asked with several prompts. **HighlyKnown**: every greedy answer (the model's first choice) "
        "is right. **MaybeKnown**: some are. **WeaklyKnown**: none is, but a sampled one is. **Unknown**: none at all."
    )
    caption = (
        f"Each cell: questions, then their share in %, n = {number(n)} at every point. {_INTERVALS} "
        "(Wilson score intervals: how far the share could be off because only so many questions were asked.)"
    )
    heads = "point | " + " | ".join(f"{name} >" for name in CATEGORIES)
    figure = Figure("figures/categories.png", f"Categories of the {number(n)} training questions at each point.")
    return [intro, make_table(heads, rows, caption), figure]


def _transitions(report: Report) -> list[Block]:
    blocks: list[Block] = []
    for step in report["transitions"]:
        blocks.append(f"**{plain(step['before'])} → {plain(step['after'])}** (n = {number(step['movement']['n'])})")
        blocks.append(_matrix(step["matrix"]))
    if report["control"]:
        blocks.append(f"**Control: base → base asked again** (n = {number(report['control']['movement']['n'])})")
        blocks.append(_matrix(report["control"]["matrix"]))
    blocks += [_movements(report), *_control_words(report)]
    caption = "Category before (rows) and after (columns); numbers are questions, shading is the share of the row."
    return [*blocks, Figure("figures/transitions.png", caption)]


def _matrix(matrix: Mapping[str, Mapping[str, int]]) -> Table:
    rows = [
        [row, *(number(matrix[row][column]) for column in CATEGORIES), number(sum(matrix[row].values()))]
        for row in CATEGORIES
    ]
    return make_table("before, after → | " + " | ".join(f"{name} >" for name in CATEGORIES) + " | all >", rows)


def _movements(report: Report) -> Table:
    spans = [(f"{step['before']} → {step['after']}", step["movement"]) for step in report["transitions"]]
    if report["control"]:
        spans.append(("control", report["control"]["movement"]))
    names = ("upgraded", "downgraded", "forgotten", "never_right_any_more")
    rows = [[span, *(count_and_share(moved[name]) for name in names)] for span, moved in spans]
    caption = (
        "*Upgraded*: category rose, of those that could rise. *Downgraded*: category fell, of those that could fall. "
        "*Forgotten*: HighlyKnown before and not after, of those HighlyKnown before. *Never right any more*: "
        f"forgotten, and no greedy answer is right. Shares in %. {_INTERVALS}"
    )
    heads = "from → to | upgraded > | downgraded > | forgotten > | never right any more >"
    return make_table(heads, rows, caption)


def _control_words(report: Report) -> list[Block]:
    control = report["control"]
    if control is None:
        return [
            "**No control was run.** Part of what moved would move by chance alone, and how much is not known here. "
            "This detects the base model a second time, with another seed; what is done already is kept:",
            Code(f"{report['repeat']['command']} --set evaluation.retest=true", "sh"),
        ]
    words = (
        f"The control is the untrained model detected twice, the second time with seed {control['seed']}: other "
        "exemplars, other samples. What moves there is noise. It is a strict yardstick, because a point and the next "
        "share their exemplars and the control does not."
    )
    if control["same_seed"]:
        words += " **Its seed is the same as the first one's, so that it shows no noise: it is no control.**"
    if control["other_settings"]:
        words += f" **It also differs in {plain(', '.join(control['other_settings']))}: it is no clean control.**"
    steps = [step for step in report["transitions"] if step["against_control"]]
    rows = [
        [f"{step['before']} → {step['after']}", name, *_paired_cells(step["against_control"][name])]
        for step in steps
        for name in ("upgraded", "forgotten")
    ]
    caption = (
        "More questions moved than in the control, on the same questions: difference in percentage points with 95 % "
        "interval, and p of McNemar's exact test, corrected (Holm: several comparisons raise p) for all rows."
    )
    return [words, make_table("from → to | what | n > | more than control, points > | p >", rows, caption)]


def _paired_cells(row: Mapping[str, Any]) -> list[str]:
    return [number(row["n"]), difference(row), p_value(row["holm_p"])]


def _test(report: Report) -> list[Block]:
    test = report["test"]
    intro = (
        f"{number(test['n'])} questions that no stage trained on and no epoch was chosen by, each asked once, "
        "greedily. Accuracy is the share answered right."
    )
    caption = f"Test accuracy at each point, n = {number(test['n'])}, with 95 % intervals."
    blocks: list[Block] = [intro, _test_accuracy(report), _test_differences(test)]
    blocks.append(Figure("figures/test_accuracy.png", caption))
    return [*blocks, *_test_by_category(report), *_test_by_type(report)]


def _test_accuracy(report: Report) -> Table:
    test, points = report["test"], report["run"]["points"]
    found = {(row["point"], row["shots"]): row for row in test["accuracy"]}
    rows = [[_shots(shots), *(share(found[point, shots]) for point in points)] for shots in test["shots"]]
    heads = "exemplars in the prompt | " + " | ".join(f"{point} >" for point in points)
    return make_table(heads, rows, f"Test accuracy in %, n = {number(test['n'])} each. {_INTERVALS}")


def _shots(shots: int) -> str:
    return str(shots) if shots else "none (0-shot)"


def _test_differences(test: Mapping[str, Any]) -> Table:
    rows = [
        [
            _shots(row["shots"]),
            f"{row['before']} → {row['after']}",
            number(row["gained"]),
            number(row["lost"]),
            difference(row),
            p_value(row["mcnemar_p"]),
            p_value(row["holm_p"]),
        ]
        for row in test["differences"]
    ]
    caption = (
        "The same questions before and after. *Gained*: wrong before, right after; *lost*: the reverse. Change in "
        "percentage points with its 95 % interval (Newcombe's, for paired answers). *p*: how often chance alone would "
        "give gains and losses as unequal (McNemar's exact test); *p, Holm*: corrected for all rows of this table."
    )
    return make_table("exemplars | from → to | gained > | lost > | change, points > | p > | p, Holm >", rows, caption)


def _test_by_category(report: Report) -> list[Block]:
    groups = report["test"]["by_category"]
    if groups is None:
        return [
            "**By first category: not known.** The test questions were not detected with the base model; this does it:",
            Code(f"{report['repeat']['command']} --set evaluation.first_categories=true", "sh"),
        ]
    words = (
        "**By first category**: what the base model's category of the test question was. Read it with care: with the "
        "exemplars of the detection a HighlyKnown question was right by definition, so that it can only get worse, and "
        "a WeaklyKnown or Unknown one was wrong, so that it can only get better."
    )
    return [words, _group_table(report, "first category", report["test"]["shots"], groups)]


def _test_by_type(report: Report) -> list[Block]:
    shots = report["test"]["shots"]
    words = f"**By type of question**, {_with_exemplars(shots[0])}:"
    groups = sorted(report["test"]["by_type"], key=lambda row: (-row["n"], row["group"]))
    rest = ", ".join(_with_exemplars(number) for number in shots[1:])
    note = [f"The same {rest} stands in report.json under `test.by_type`."] if rest else []
    return [words, _group_table(report, "type", shots[:1], groups), *note]


def _with_exemplars(shots: int) -> str:
    return f"with {shots} exemplars" if shots else "with no exemplars"


def _group_table(report: Report, what: str, shots: Sequence[int], groups: Sequence[Mapping[str, Any]]) -> Table:
    points = report["run"]["points"]
    rows = [
        [
            *([_shots(row["shots"])] if len(shots) > 1 else []),
            visible(row["group"], 60),
            number(row["n"]),
            *(percent(row["accuracy"][point]["share"]) for point in points),
            difference(row),
            p_value(row["holm_p"]),
        ]
        for row in groups
        if row["shots"] in shots
    ]
    heads = (
        ("exemplars | " if len(shots) > 1 else "") + f"{what} | n > | " + " | ".join(f"{point} >" for point in points)
    )
    caption = (
        f"Accuracy at each point; change from {plain(points[0])} to {plain(points[-1])} in percentage points with 95 % "
        "interval; p of McNemar's test, corrected (Holm) for all groups and numbers of exemplars."
    )
    return make_table(f"{heads} | change, points > | p, Holm >", rows, caption)


def _stages(report: Report) -> list[Block]:
    blocks: list[Block] = [
        "A stage trains on a *mixture* of questions, chosen by category. An *epoch* is one pass over them; after each, "
        f"the validation questions are asked {_with_exemplars(report['run']['validation_shots'])}, and the epoch with "
        "most right answers is kept."
    ]
    for stage in report["stages"]:
        blocks += [f"**{plain(stage['name'])}**: {number(stage['questions'])} questions", _parts(stage), _epochs(stage)]
        blocks.append(_chosen_words(stage))
    caption = "Validation accuracy by epoch; epoch 0 is before training. Bars: 95 % intervals."
    return [*blocks, Figure("figures/validation.png", caption)]


def _parts(stage: Mapping[str, Any]) -> Table:
    rows = [
        [
            part["name"],
            number(part["available"]),
            number(part["taken"]),
            "; ".join(f"{reason} ({number(count)})" for reason, count in part["reasons"].items()) or NONE,
        ]
        for part in stage["parts"]
    ]
    before = plain(stage["before"])
    caption = f"*Available*: training questions that answer the part's description, by the detection at {before}."
    return make_table("part | available > | taken > | why they were taken", rows, caption)


def _epochs(stage: Mapping[str, Any]) -> Table:
    rows = [
        [
            f"{row['epoch']}" + (" (chosen)" if row["epoch"] == stage["chosen_epoch"] else ""),
            _loss(row["loss"]),
            _loss(row["validation_loss"]),
            count_and_share(row),
        ]
        for row in stage["epochs"]
    ]
    return make_table(f"epoch | training loss > | validation loss > | validation {stage['scorer']}, % >", rows)


def _loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _chosen_words(stage: Mapping[str, Any]) -> str:
    start = stage["epochs"][0]
    chosen = next(row for row in stage["epochs"] if row["epoch"] == stage["chosen_epoch"])
    figures = f"{number(chosen['count'])} of {number(chosen['n'])} right, {number(start['count'])} at the start"
    if not stage["better_than_start"]:
        return (
            "**This stage did not beat its starting point** in validation: its best epoch, "
            f"{stage['chosen_epoch']}, has {figures}. That epoch was kept all the same, and what follows builds on it."
        )
    early = " Training stopped early, because it got no better." if stage["stopped_early"] else ""
    return f"Epoch {stage['chosen_epoch']} was kept: {figures}.{early}"


def _trained(report: Report) -> list[Block]:
    intro = (
        "The paper's point is that training on MaybeKnown questions also lifts others. So: of the questions that were "
        "in a stage's mixture, and of those that were not, how many were upgraded (or, if HighlyKnown, forgotten)? "
    )
    if report["control"]:
        intro += "*By chance*: the share of the same questions that moved in the control; the last column compares."
    return [intro, *(_trained_table(span) for span in report["trained"])]


def _trained_table(span: Mapping[str, Any]) -> Table:
    controlled = any(row["control"] for row in span["rows"])
    rows = []
    for row in span["rows"]:
        cells = ["trained" if row["trained"] else "not trained", row["category"], row["movement"]]
        cells.append(count_and_share(row["share"]))
        if controlled:
            cells += [percent(row["control"]["share"]) if row["control"] else NONE, difference(row["against_control"])]
        rows.append(cells)
    heads = "questions | category before | what | count and share, % >" + (_CHANCE if controlled else "")
    caption = f"{plain(span['before'])} → {plain(span['after'])}. {_INTERVALS}"
    return make_table(heads, rows, caption)


def _examples(report: Report) -> list[Block]:
    examples = report["examples"]
    before, after = examples["before"], examples["after"]
    blocks: list[Block] = [
        f"Drawn by a hash of the question's id, not picked. *Given*: the greedy answers at {plain(before)} and at "
        f"{plain(after)}, with how often; fewer where the category was decided sooner."
    ]
    for kind in ("upgraded", "forgotten"):
        shown = examples[kind]["shown"]
        blocks.append(f"**{kind.capitalize()}**: {len(shown)} of {number(examples[kind]['n'])}")
        if shown:
            heads = f"question | accepted | category | given at {before} | given at {after} | trained in"
            blocks.append(make_table(heads, [_example_row(example) for example in shown]))
    return blocks


def _example_row(example: Mapping[str, Any]) -> list[str]:
    return [
        visible(example["question"], 120),
        visible("; ".join(example["answers"][:3]), 60),
        f"{example['before']['category']} → {example['after']['category']}",
        _given(example["before"]["given"]),
        _given(example["after"]["given"]),
        ", ".join(example["trained_in"]) or "no stage",
    ]


def _given(given: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{visible(row['answer'], 40) or '(empty)'} ×{row['times']}" for row in given[:3]]
    return ", ".join(parts) + (" …" if len(given) > 3 else "")


def _cost(report: Report) -> list[Block]:
    cost = report["cost"]
    rows = [_cost_row(row["step"], row) for row in [*cost["steps"], {"step": "total", **cost["total"]}]]
    total = cost["total"]
    possible = total["made"] + total["saved"]
    saved = f" {percent(total['saved'] / possible)} of all possible generations were saved." if possible else ""
    caption = (
        "*Read*: tokens of prompts that went through the model. *Written*: tokens generated. *Trained*: tokens in "
        f"training. *Saved*: answers that were not generated, because they could not change a category.{saved}"
    )
    heads = "step | time > | CPU time > | read > | written > | trained > | answers made > | saved >"
    return [make_table(heads, rows, caption)]


def _cost_row(name: str, row: Mapping[str, Any]) -> list[str]:
    counts = [number(row[key]) for key in ("prefilled", "decoded", "trained", "made", "saved")]
    return [name, duration(row["seconds"]), duration(row["cpu_seconds"]), *counts]


def _repeat(report: Report) -> list[Block]:
    repeat = report["repeat"]
    facts = [(f"seed of the {name}", str(seed)) for name, seed in repeat["seeds"].items()]
    facts += [(f"digest of {name}", str(digest or NONE)) for name, digest in repeat["digests"].items()]
    facts += [(f"machine: {key}", str(NONE if value is None else value)) for key, value in repeat["hardware"].items()]
    facts += [(f"version of {name}", str(version)) for name, version in repeat["versions"].items()]
    if repeat["created"]:
        facts.append(("begun", str(repeat["created"])))
    return [
        "The command, as it was given:",
        Code(repeat["command"], "sh"),
        make_table("what | value", [(visible(key, 80), visible(value, 200)) for key, value in facts]),
        "The recipe, with every default written out:",
        Code(repeat["recipe"], "yaml"),
    ]


def _paper(report: Report) -> list[Block]:
    runs = [report["comparable"], *report["paper"]["runs"]]
    words = (
        f"For orientation only ({plain(report['paper']['citation'])}): **model, questions and protocol differ**, so "
        "that equal numbers prove nothing and unequal ones refute nothing. The paper's test accuracies are not shown, "
        "because no reliable source for them was found."
    )
    return [words, comparable_shares(runs), comparable_movements(runs), *growth_words(runs)]
