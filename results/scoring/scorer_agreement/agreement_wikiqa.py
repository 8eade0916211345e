"""The scorers against WikiQA's annotators; the README of results/scoring says what each table counts.

Only counts leave this module: the licence of the corpus does not allow passing on its text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kft_cli.display.tables import NONE, make_table, markdown_table, share
from kft_cli.stats.intervals import wilson_share
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.question_sets.storage.rows import read_rows
from kft_tasks.scoring.answer_rules import answer_in_sentence, telling_part
from kft_tasks.scoring.normalization import canonical_words, find_words
from kft_tasks.scoring.scorers import SCORERS, Scorer, answer_contained, normalize

_PHRASES = "WikiQASent.pos.ans*.tsv"
_COLUMNS = ("AnswerPhrase1", "AnswerPhrase2", "AnswerPhrase3")
LONGEST_SPAN = 4


@dataclass
class Entry:
    """A question with its answering sentences, and the phrases that the annotators marked in each of them."""

    sentences: list[str] = field(default_factory=list)
    marked: list[list[str]] = field(default_factory=list)

    @property
    def phrases(self) -> tuple[str, ...]:
        """All different phrases."""
        return tuple(dict.fromkeys(phrase for phrases in self.marked for phrase in phrases))


def read_entries(folder: Path) -> dict[str, Entry]:
    """Questions with at least one marked phrase, by text."""
    entries: dict[str, Entry] = defaultdict(Entry)
    for path in sorted(folder.glob(_PHRASES)):
        for _, row in read_rows(path, quoted=False):
            marked = [phrase for name in _COLUMNS if (phrase := row[name].strip()) not in ("", "NO_ANS")]
            entry = entries[row["Question"].strip()]
            entry.sentences.append(row["Sentence"].strip())
            entry.marked.append(marked)
    return {question: entry for question, entry in entries.items() if entry.phrases}


def measure_wikiqa(folder: Path, answer_files: Sequence[Path] = ()) -> dict[str, Any]:
    """All three tables; the one of generations only if there are ``answer_files``."""
    entries = read_entries(folder)
    result = {
        "questions": len(entries),
        "phrases": sum(len(entry.phrases) for entry in entries.values()),
        "annotators": _other_annotators(entries),
        "spans": _by_support(_spans(entries)),
    }
    if answer_files:
        generations = list(_generations(entries, answer_files))
        result["generations"] = _by_support(generations)
        result["generations_by_phrase"] = _by_phrase(generations, entries)
    return result


def _other_annotators(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """One annotator's phrase as the given answer, another's phrase in the same sentence as the only accepted one."""
    pairs = {
        (question, given, accepted)
        for question, entry in entries.items()
        for phrases in entry.marked
        for given in phrases
        for accepted in phrases
        if normalize(given) != normalize(accepted)
    }
    return {
        name: wilson_share(
            sum(scorer(given, (gold,), question) for question, given, gold in pairs), len(pairs)
        ).to_json()
        for name, scorer in SCORERS.items()
        if name != "answer_in_sentence"
    }


def _spans(entries: Mapping[str, Entry]) -> Iterator[tuple[str, Entry, str]]:
    """Every run of one to four words of the answering sentences."""
    for question, entry in entries.items():
        spans = set()
        for sentence in entry.sentences:
            words = sentence.split()
            spans |= {
                " ".join(words[start : start + size])
                for size in range(1, LONGEST_SPAN + 1)
                for start in range(len(words) - size + 1)
            }
        yield from ((question, entry, span) for span in sorted(spans) if normalize(span))


def _generations(entries: Mapping[str, Entry], files: Sequence[Path]) -> Iterator[tuple[str, Entry, str]]:
    """The different answers that a model gave to the questions."""
    seen = set()
    for path in files:
        for item in CategoryFile(path):
            sampled = (text for texts in item.sampled_answers if texts for text in texts)
            for given in (*filter(None, item.greedy_answers), *filter(None, sampled)):
                question = item.question.question
                if question in entries and (question, given) not in seen and normalize(given):
                    seen.add((question, given))
                    yield question, entries[question], given


def is_supported(given: str, phrases: Sequence[str], question: str) -> bool:
    """Whether annotators' phrases support an answer: it has a telling word, and is in a phrase or contains one."""
    telling = telling_part(canonical_words(given), question)
    return bool(telling) and any(
        find_words(words, telling) >= 0 or find_words(canonical_words(given), words) >= 0
        for words in map(canonical_words, phrases)
        if words
    )


def _words_of_sentence(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether a sentence contains the given words: the simplest rule, for comparison."""
    return any(answer_contained(sentence, (given,)) for sentence in answers)


def _by_support(candidates: Iterator[tuple[str, Entry, str]] | Sequence[tuple[str, Entry, str]]) -> dict[str, Any]:
    """Two rules for accepted sentences: how many candidates each accepts, and how many of these the phrases support."""
    rules: dict[str, Scorer] = {"words_of_sentence": _words_of_sentence, "answer_in_sentence": answer_in_sentence}
    count = supported = untelling = 0
    accepted, right, empty = (dict.fromkeys(rules, 0) for _ in range(3))
    for question, entry, given in candidates:
        support = is_supported(given, entry.phrases, question)
        tells = bool(telling_part(canonical_words(given), question))
        count, supported, untelling = count + 1, supported + support, untelling + (not tells)
        for name, rule in rules.items():
            if rule(given, tuple(entry.sentences), question):
                accepted[name] += 1
                right[name] += support
                empty[name] += not tells
    return {
        "count": count,
        "supported": supported,
        "untelling": untelling,
        "rules": {
            name: {
                "accepted": accepted[name],
                "precision": wilson_share(right[name], accepted[name]).to_json(),
                "recall": wilson_share(right[name], supported).to_json(),
                "untelling": empty[name],
            }
            for name in rules
        },
    }


def _by_phrase(generations: Sequence[tuple[str, Entry, str]], entries: Mapping[str, Entry]) -> dict[str, int]:
    """How many of the generations each scorer accepts by the phrases."""
    return {
        name: sum(scorer(given, entry.phrases, question) for question, entry, given in generations)
        for name, scorer in SCORERS.items()
        if name != "answer_in_sentence"
    }


def render_wikiqa(result: Mapping[str, Any]) -> str:
    """The tables as Markdown."""
    annotators: list[tuple[str, ...]] = [
        (name, f"{values['n']:,}", share(values)) for name, values in result["annotators"].items()
    ]
    if by_phrase := result.get("generations_by_phrase"):
        annotators = [(*row, str(by_phrase.get(row[0], NONE))) for row in annotators]
    rules = f" Generations: by the rules of {result['generations_rules']}." if "generations_rules" in result else ""
    parts = [
        f"{result['questions']:,} questions with {result['phrases']:,} different phrases.",
        markdown_table(
            make_table(
                "scorer | n > | accepted >" + (" | generations accepted >" if by_phrase else ""),
                annotators,
                "Given: one annotator's phrase. Accepted: another's phrase, in other words, in the same sentence."
                + (
                    f" Last column: of {result['generations']['count']:,} generations of the embedded model, scored"
                    " against all phrases."
                    if by_phrase
                    else ""
                ),
            )
        ),
    ]
    rows = []
    for name in ("spans", "generations"):
        for rule, values in result[name]["rules"].items() if name in result else ():
            every = result[name]
            rows.append(
                (
                    name,
                    f"{every['count']:,}",
                    rule,
                    f"{values['accepted']:,}",
                    share(values["precision"]),
                    share(values["recall"]),
                    f"{values['untelling']:,} of {every['untelling']:,}",
                )
            )
    columns = "candidates | n > | rule | accepted > | of these supported > | of supported accepted > | empty accepted >"
    parts.append(
        markdown_table(
            make_table(
                columns,
                rows,
                "Accepted: the sentences. Reference: the phrases. Empty: stop words and repetitions of the question."
                + rules,
            )
        )
    )
    return "\n\n".join(parts)
