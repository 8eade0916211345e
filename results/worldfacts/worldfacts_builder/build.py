"""Builds `questions.jsonl`, the embedded question set.

    PYTHONPATH=results/worldfacts python -m worldfacts_builder.build [--check] [--table]

The build depends only on the pinned packages and on `facts.py` and `places.py`: no network, no random state; splits and
ids come from hashes of content. `sources.py` and the set's README.md name sources and licences.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

from kft_tasks.errors import KftError
from kft_tasks.files import atomic_write
from kft_tasks.hashing import keyed_digest
from kft_tasks.questions import SPLITS, content_id
from kft_tasks.scoring.scorers import normalize
from worldfacts_builder import rules, sources
from worldfacts_builder.candidates import Candidate, all_candidates

_SHIPPED = Path(__file__).parents[3] / "kft_tasks" / "question_sets" / "worldfacts"
QUESTIONS_FILE = _SHIPPED / "questions.jsonl"
README_FILE = _SHIPPED / "README.md"
MIN_QUESTIONS = 2500
_COMMAND = "PYTHONPATH=results/worldfacts python -m worldfacts_builder.build"

# Shares of a domain's subjects that go to exemplars, test and validation; the rest is for training. There are many
# cities, so 13 % give ten disjoint exemplar sets of 4; elements, states and countries need more of their few subjects.
SHARES = {
    "city": (0.13, 0.25, 0.12),
    "us_city": (0.15, 0.25, 0.12),
    "country": (0.30, 0.23, 0.11),
    "element": (0.34, 0.22, 0.10),
    "state": (0.28, 0.24, 0.12),
}

# Largest number of questions of a type with the same canonical answer (most populous countries first).
ANSWER_CAPS = {"continent_of_country": 36, "currency_of_country": 12, "language_of_country": 14}
MAX_ANSWER_SHARE = {"continent_of_country": 0.30, "language_of_country": 0.15, "currency_of_country": 0.15}
DEFAULT_MAX_ANSWER_SHARE = 0.05

# Questions that make a type large; the least number of exemplars of a large type and of a small one.
LARGE_TYPE, MIN_EXEMPLARS_LARGE, MIN_EXEMPLARS_SMALL = 110, 40, 12

# Codes, and languages named after their country (French of France), inevitably resemble what they stand for.
STEM_RULE_EXEMPT = {
    "atomic_number_of_element",
    "calling_code_of_country",
    "country_of_calling_code",
    "country_of_tld",
    "element_of_atomic_number",
    "element_of_symbol",
    "language_of_country",
    "postal_code_of_state",
    "state_of_postal_code",
    "symbol_of_element",
    "tld_of_country",
}


def build_questions() -> list[dict[str, object]]:
    """Returns all questions, filtered, split and sorted; raises `ValueError` saying which rule is broken where."""
    return build_with_report()[0]


def build_with_report() -> tuple[list[dict[str, object]], Counter[str]]:
    """Returns the questions and how many candidates each filter left out."""
    sources.check_pins()
    dropped: Counter[str] = Counter()
    candidates = list(all_candidates(dropped))
    kept = _cap_answers(_without_leaks(candidates, dropped), dropped)
    splits = _assign_splits({(c.domain, c.subject) for c in kept})
    records = [_record(candidate, splits[candidate.domain, candidate.subject]) for candidate in kept]
    records.sort(key=lambda record: (str(record["type"]), str(record["id"])))
    check_quality(records)
    return records, dropped


# --- filters, splits, records -----------------------------------------------------------------------------------------


def _without_leaks(candidates: list[Candidate], dropped: Counter[str]) -> list[Candidate]:
    """Drops questions that give the canonical answer away, and aliases that appear in the question."""
    kept = []
    for candidate in candidates:
        question = candidate.question
        if rules.answer_in_question(question, candidate.answers[0]):
            dropped["leak: answer is in the question"] += 1
            continue
        if candidate.type not in STEM_RULE_EXEMPT and rules.shares_stem(candidate.asked, candidate.telling):
            dropped["leak: answer shares a word or a stem with the question"] += 1
            continue
        answers = tuple(a for a in candidate.answers if not rules.answer_in_question(question, a))
        dropped["(alias) is in the question; the question is kept"] += len(candidate.answers) - len(answers)
        kept.append(Candidate(**{**vars(candidate), "answers": answers}))
    return kept


def _cap_answers(candidates: list[Candidate], dropped: Counter[str]) -> list[Candidate]:
    """Keeps the most populous subjects of an answer that too many questions of a capped type share."""
    used: Counter[tuple[str, str]] = Counter()
    kept = []
    for candidate in sorted(candidates, key=lambda c: (-c.population, c.question)):
        key = (candidate.type, candidate.answers[0])
        used[key] += 1
        if used[key] <= ANSWER_CAPS.get(candidate.type, len(candidates)):
            kept.append(candidate)
        else:
            dropped["cap: answer shared by too many questions of the type"] += 1
    return kept


def _assign_splits(subjects: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Ranks the subjects of each domain by hash and gives each split its share of the ranks."""
    splits = {}
    for domain, (exemplars, test, validation) in SHARES.items():
        ranked = sorted((s for d, s in subjects if d == domain), key=lambda s: _rank(domain, s))
        count = len(ranked)
        sizes = [
            ("exemplars", round(exemplars * count)),
            ("test", round(test * count)),
            ("validation", round(validation * count)),
        ]
        names = [split for split, size in sizes for _ in range(size)]
        names += ["train"] * (count - len(names))
        splits.update({(domain, subject): split for subject, split in zip(ranked, names, strict=True)})
    return splits


def _rank(domain: str, subject: str) -> str:
    return keyed_digest(f"worldfacts/{domain}/{subject}").hex()


def _record(candidate: Candidate, split: str) -> dict[str, object]:
    return {
        "id": content_id("worldfacts", candidate.type, candidate.question),
        "question": candidate.question,
        "answers": list(candidate.answers),
        "type": candidate.type,
        "split": split,
        "subject": candidate.subject,
    }


def check_quality(records: list[dict[str, object]]) -> None:
    """Raises `ValueError` naming the first record, subject or type that breaks a rule of the data card."""
    if len(records) < MIN_QUESTIONS:
        raise ValueError(f"worldfacts: {len(records)} questions, but at least {MIN_QUESTIONS} are promised.")
    seen: dict[str, set[str]] = {"id": set(), "question": set()}
    split_of_subject: dict[str, str] = {}
    for record in records:
        _check_record(record)
        for field, values in seen.items():
            if str(record[field]) in values:
                raise ValueError(f"{record['id']}: the {field} {record[field]!r} is duplicated.")
            values.add(str(record[field]))
        subject, split = str(record["subject"]), str(record["split"])
        if split_of_subject.setdefault(subject, split) != split:
            raise ValueError(f"{record['id']}: subject {subject!r} is in both {split} and {split_of_subject[subject]}.")
    for type_ in sorted({str(record["type"]) for record in records}):
        _check_type(type_, [record for record in records if record["type"] == type_])


def _check_record(record: dict[str, object]) -> None:
    question, answers = str(record["question"]), record["answers"]
    if not question.endswith("?") or "  " in question or not question[0].isupper():
        raise ValueError(f"{record['id']}: {question!r} is not one clean sentence that ends with '?'.")
    if not isinstance(answers, list) or not answers or any(not a or a != a.strip() for a in answers):
        raise ValueError(f"{record['id']}: answers {answers!r} are empty or padded.")
    normalized = [normalize(answer) for answer in answers]
    if "" in normalized or len(set(normalized)) < len(normalized):
        raise ValueError(f"{record['id']}: answers {answers!r} are equal, or empty, after normalisation.")
    for answer in answers:
        if rules.answer_in_question(question, answer):
            raise ValueError(f"{record['id']}: answer {answer!r} appears in the question {question!r}.")


def _check_type(type_: str, records: list[dict[str, object]]) -> None:
    splits = Counter(str(record["split"]) for record in records)
    missing = [split for split in SPLITS if not splits[split]]
    if missing:
        raise ValueError(f"type {type_}: no questions in {', '.join(missing)}.")
    floor = MIN_EXEMPLARS_LARGE if len(records) >= LARGE_TYPE else MIN_EXEMPLARS_SMALL
    if splits["exemplars"] < floor:
        raise ValueError(
            f"type {type_}: {splits['exemplars']} exemplars in {len(records)} questions; {floor} are needed."
        )
    answers = Counter(str(record["answers"][0]) for record in records if isinstance(record["answers"], list))
    answer, times = answers.most_common(1)[0]
    if times > max(1, len(records) * MAX_ANSWER_SHARE.get(type_, DEFAULT_MAX_ANSWER_SHARE)):
        raise ValueError(f"type {type_}: {times} of {len(records)} questions have the answer {answer!r}.")


# --- files and command ------------------------------------------------------------------------------------------------


def serialize(records: list[dict[str, object]]) -> bytes:
    """Returns the bytes of the JSON Lines file."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def digest(records: list[dict[str, object]]) -> str:
    """Returns the SHA-256 of the serialised records."""
    return hashlib.sha256(serialize(records)).hexdigest()


def table(records: list[dict[str, object]]) -> str:
    """Returns the type x split table of the data card, in Markdown."""
    counts = Counter((str(record["type"]), str(record["split"])) for record in records)
    lines = [f"| type | {' | '.join(SPLITS)} | all |", "|---|" + "---:|" * (len(SPLITS) + 1)]
    for type_ in [*sorted({name for name, _ in counts}), "all"]:
        row = [sum(n for (name, split), n in counts.items() if split == s and type_ in (name, "all")) for s in SPLITS]
        lines.append(f"| {type_} | {' | '.join(map(str, row))} | {sum(row)} |")
    return "\n".join(lines)


def filter_table(dropped: Counter[str]) -> str:
    """Returns how many candidates each filter left out, in Markdown."""
    lines = ["| left out | candidates |", "|---|---:|"]
    return "\n".join(lines + [f"| {reason} | {count} |" for reason, count in sorted(dropped.items())])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0 if done, 1 if the shipped file differs or the build failed."""
    parser = argparse.ArgumentParser(
        prog="python -m worldfacts_builder.build", description="Build the worldfacts questions."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="rebuild in memory and compare with the file and with README.md; write nothing",
    )
    parser.add_argument("--table", action="store_true", help="print the tables of README.md; write nothing")
    parser.add_argument("--output", type=Path, default=QUESTIONS_FILE, metavar="FILE", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        records, dropped = build_with_report()
        if options.check:
            return _check_file(options.output, records, dropped)
        if options.table:
            print(f"{table(records)}\n\n{filter_table(dropped)}\n\nsha256 {digest(records)}")
            return 0
        with atomic_write(options.output) as stream:
            stream.write(serialize(records).decode())
    except (ValueError, KftError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {len(records)} questions, sha256 {digest(records)}", file=sys.stderr)
    return 0


def _check_file(path: Path, records: list[dict[str, object]], dropped: Counter[str]) -> int:
    """Compares the file and the tables of the data card with a rebuild; says what to do if they differ."""
    wrong = []
    if not path.is_file():
        wrong.append(f"{path} does not exist. Run: {_COMMAND}")
    elif path.read_bytes() != serialize(records):
        wrong.append(f"{path} differs from a rebuild. Run: {_COMMAND}")
    card = README_FILE.read_text(encoding="utf-8") if README_FILE.is_file() else ""
    if any(part not in card for part in (table(records), filter_table(dropped), digest(records))):
        wrong.append(f"{README_FILE} has stale tables. Replace them with the output of: {_COMMAND} --table")
    for message in wrong:
        print(f"Error: {message}", file=sys.stderr)
    if not wrong:
        print(f"{path}: up to date, sha256 {digest(records)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
