"""Local copies of the public sets: real facts in the exact files and columns of the hub, its oddities included.

``python tests/hub_files.py FOLDER`` writes them; then ``KFT_DATA=FOLDER lm_eval --tasks kft_popqa ...`` runs.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import Question

WORKS = """
Pride and Prejudice: Jane Austen | Moby-Dick: Herman Melville | Hamlet: William Shakespeare | Ulysses: James Joyce
War and Peace: Leo Tolstoy; Lev Tolstoy | Crime and Punishment: Fyodor Dostoevsky; Fyodor Dostoyevsky
Don Quixote: Miguel de Cervantes | The Odyssey: Homer | Faust: Johann Wolfgang von Goethe; Goethe
Les Misérables: Victor Hugo | Madame Bovary: Gustave Flaubert | Candide: Voltaire; François-Marie Arouet
Jane Eyre: Charlotte Brontë; Charlotte Bronte; Currer Bell | Wuthering Heights: Emily Brontë; Emily Bronte
Great Expectations: Charles Dickens | Middlemarch: George Eliot; Mary Ann Evans | Dracula: Bram Stoker
Frankenstein: Mary Shelley | The Time Machine: H. G. Wells; Herbert George Wells | Walden: Henry David Thoreau
The Call of the Wild: Jack London | Leaves of Grass: Walt Whitman | The Scarlet Letter: Nathaniel Hawthorne
Huckleberry Finn: Mark Twain; Samuel Langhorne Clemens; Samuel Clemens | Little Women: Louisa May Alcott
The Great Gatsby: F. Scott Fitzgerald | The Sun Also Rises: Ernest Hemingway | Beloved: Toni Morrison
The Grapes of Wrath: John Steinbeck | To Kill a Mockingbird: Harper Lee | Nineteen Eighty-Four: George Orwell; Eric Blair
Brave New World: Aldous Huxley | Lord of the Flies: William Golding | The Hobbit: J. R. R. Tolkien; JRR Tolkien
Dune: Frank Herbert | Foundation: Isaac Asimov | Neuromancer: William Gibson | The Trial: Franz Kafka
The Magic Mountain: Thomas Mann | Steppenwolf: Hermann Hesse | The Stranger: Albert Camus | Nausea: Jean-Paul Sartre
Things Fall Apart: Chinua Achebe | Midnight's Children: Salman Rushdie | The God of Small Things: Arundhati Roy
One Hundred Years of Solitude: Gabriel García Márquez; Gabriel Garcia Marquez | Blindness: José Saramago; Jose Saramago
"""

Row = dict[str, Any]
Fact = tuple[str, tuple[str, ...]]


def works() -> list[Fact]:
    """48 books with their authors."""
    pairs = [entry.partition(": ") for line in WORKS.split("\n") for entry in line.split(" | ") if entry.strip()]
    return [(title.strip(), tuple(name.strip() for name in names.split(";"))) for title, _, names in pairs]


def facts(type_: str, count: int) -> list[Fact]:
    """Facts of one type of worldfacts."""
    found: list[Question] = [
        question
        for split in ("train", "validation", "test", "exemplars")
        for question in open_set("worldfacts").split(split)
        if question.type == type_
    ]
    return [(question.subject, question.answers) for question in sorted(found, key=lambda q: q.id)[:count]]


def mixed(*rows: Sequence[Any]) -> list[Any]:
    """Rows of several types in turn, as many of each as the shortest has: a small limit then has all types."""
    return [row for group in zip(*rows, strict=False) for row in group]


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Parquet as the hub has it."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def write_table(path: Path, rows: Sequence[Row], delimiter: str = ",") -> None:
    """CSV or TSV as pandas writes it: quoted where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def entityquestions(folder: Path) -> None:
    """The authors' zip, unpacked; as there, P50 is not among the relations with a test file here."""
    rows = {
        "P36": [
            {"question": f"What is the capital of {s}?", "answers": list(a)} for s, a in facts("capital_of_country", 66)
        ],
        "P50": [{"question": f"Who is the author of {s}?", "answers": list(a)} for s, a in works()],
    }
    # the first answer only, as most rows of the source have one; the single-answer filter drops the others
    for entries in rows.values():
        for entry in entries[: len(entries) - 3]:
            del entry["answers"][1:]
    cuts = {"P36": {"dev": (0, 48), "test": (48, 58), "train": (58, 66)}, "P50": {"dev": (0, 40), "train": (40, 48)}}
    for relation, parts in cuts.items():
        for part, (start, end) in parts.items():
            path = folder / "dataset" / part / f"{relation}.{part}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows[relation][start:end]), encoding="utf-8")  # one line, as the source


def wikiqa(folder: Path) -> None:
    """data/*.parquet of microsoft/wiki_qa: a row per sentence, including sentences without an answer."""
    rows: list[list[Row]] = []
    authors = [(f"who wrote {s}", s, f"{s} is a work by {a[0]} .") for s, a in works()]
    capitals = facts("capital_of_country", 48)
    places = [(f"what is the capital of {s}", s, f"{a[0]} is the capital of {s} .") for s, a in capitals]
    for number, (text, title, sentence) in enumerate(mixed(authors, places)):
        common = {"question_id": f"Q{number}", "question": text, "document_title": title}
        other = {**common, "answer": f"{title} is described in an article of its own .", "label": 0}
        rows.append([other, {**common, "answer": sentence, "label": 1}])
    rows.append([{**rows[0][0], "question_id": "Q900", "question": "how tall is nobody"}])  # no answering sentence
    parts: dict[str, list[list[Row]]] = {"train": [], "validation": [], "test": []}
    for number, group in enumerate(rows):
        parts[{0: "test", 1: "validation"}.get(number // 2 % 8, "train")].append(group)
    for part, groups in parts.items():
        flat = [row for group in groups for row in group]
        write_parquet(folder / "data" / f"{part}-00000-of-00001.parquet", flat)


def popqa(folder: Path) -> None:
    """test.tsv of akariasai/PopQA: lists as JSON text, non-ASCII characters escaped in it."""
    given = [("capital", "What is the capital of {}?", 36, facts("capital_of_country", 40))]
    given += [("author", "Who is the author of {}?", 484, works()[:40])]
    tables: list[list[Row]] = []
    for prop, template, prop_id, entries in given:
        tables.append([])
        for number, (subject, answers) in enumerate(entries):
            tables[-1].append(
                {
                    "id": 4222362 + prop_id * 100 + number,
                    "subj": subject,
                    "prop": prop,
                    "obj": answers[0],
                    "subj_id": 1850297 + number,
                    "prop_id": prop_id,
                    "obj_id": 2834605 + number,
                    "s_aliases": "[]",
                    "o_aliases": json.dumps(list(answers[1:])),
                    "s_uri": f"http://www.wikidata.org/entity/Q{1850297 + number}",
                    "o_uri": f"http://www.wikidata.org/entity/Q{2834605 + number}",
                    "s_wiki_title": subject,
                    "o_wiki_title": answers[0],
                    "s_pop": 142 + number,
                    "o_pop": 25692,
                    "question": template.format(subject),
                    "possible_answers": json.dumps(sorted(answers, key=len)),
                }
            )
    write_table(folder / "test.tsv", mixed(*tables), "\t")


def _trivia(text: str, answers: Sequence[str], number: int) -> Row:
    normal = list(dict.fromkeys(re.sub(r"[^\w ]", "", answer.lower()) for answer in answers))
    return {
        "question": text,
        "question_id": f"tc_{number}",
        "question_source": "http://www.triviacountry.com/",
        "entity_pages": {"doc_source": [], "filename": [], "title": [], "wiki_context": []},
        "search_results": {
            "description": [],
            "filename": [],
            "rank": [],
            "title": [],
            "url": [],
            "search_context": [],
        },
        "answer": {
            "aliases": list(answers),
            "normalized_aliases": normal,
            "matched_wiki_entity_name": "",
            "normalized_matched_wiki_entity_name": "",
            "normalized_value": normal[0] if normal else "<unk>",
            "type": "WikipediaEntity",
            "value": answers[0] if answers else "<unk>",
        },
    }


def triviaqa(folder: Path) -> None:
    """rc.nocontext of mandarjoshi/trivia_qa: answers in a record, questions twice, a test split without answers."""
    authors = [_trivia(f"Who wrote '{s}'?", a, n) for n, (s, a) in enumerate(works())]
    capitals = enumerate(facts("capital_of_country", 48), 100)
    rows = mixed(authors, [_trivia(f"What is the capital city of {s}?", a, n) for n, (s, a) in capitals])
    config = folder / "rc.nocontext"
    write_parquet(config / "train-00000-of-00001.parquet", [*rows[16:], *rows[16:21]])
    write_parquet(config / "validation-00000-of-00001.parquet", rows[:16])
    hidden = [_trivia("Asked in which year, answered by nobody?", [], 900 + n) for n in range(3)]
    for row in hidden:
        row["answer"]["aliases"], row["answer"]["normalized_aliases"] = None, None
    write_parquet(config / "test-00000-of-00001.parquet", hidden)


def nq_open(folder: Path) -> None:
    """nq_open/*.parquet of google-research-datasets/nq_open: lower case, no question mark, answers a list."""
    authors = [{"question": f"who is the author of the book {s.lower()}", "answer": list(a)} for s, a in works()]
    capitals = facts("capital_of_country", 48)
    places = [{"question": f"what is the name of the capital of {s.lower()}", "answer": list(a)} for s, a in capitals]
    rows = mixed(authors, places)
    write_parquet(folder / "nq_open" / "train-00000-of-00001.parquet", rows[16:])
    write_parquet(folder / "nq_open" / "validation-00000-of-00001.parquet", rows[:16])


def simpleqa(folder: Path) -> None:
    """simple_qa_test_set.csv of basicv8vc/SimpleQA: metadata as the text of a Python dictionary."""
    tables: list[list[Row]] = []
    for kind, topic, template, entries in (
        ("Person", "Art", "Who is the author of the book {}, first published under that title?", works()[:24]),
        ("Place", "Geography", "What city is the capital of {}?", facts("capital_of_country", 24)),
        ("Number", "Science and technology", "What is the atomic number of {}?", facts("atomic_number_of_element", 24)),
    ):
        tables.append([])
        for subject, answers in entries:
            page = subject.replace(" ", "_")
            metadata = {"topic": topic, "answer_type": kind, "urls": [f"https://en.wikipedia.org/wiki/{page}", "it's"]}
            row = {"metadata": str(metadata), "problem": template.format(subject), "answer": answers[0]}
            tables[-1].append(row)
    write_table(folder / "simple_qa_test_set.csv", mixed(*tables))


def questions(folder: Path) -> None:
    """A user's own spreadsheet: byte order mark, semicolons, German column names, a line break in a cell."""
    rows = [
        {"Frage": f"What is the capital of {s}?", "Antwort": a[0], "Thema": "capital", "Land": s}
        for s, a in facts("capital_of_country", 90)
    ]
    rows[0]["Frage"] = rows[0]["Frage"].replace("What is ", "What is\n")
    write_table(folder / "meine fragen.csv", rows, ";")
    path = folder / "meine fragen.csv"
    path.write_text("\ufeff" + path.read_text(encoding="utf-8").replace("\n", "\r\n"), encoding="utf-8", newline="")


WRITERS: dict[str, Callable[[Path], None]] = {
    "entityquestions": entityquestions,
    "wikiqa": wikiqa,
    "popqa": popqa,
    "triviaqa": triviaqa,
    "nq_open": nq_open,
    "simpleqa": simpleqa,
    "questions": questions,
}

COLUMNS = {"question": "Frage", "answers": "Antwort", "type": "Thema", "subject": "Land"}
"""Columns of the file that :func:`questions` writes."""


def write_hub_files(folder: Path) -> Path:
    """Write every set below ``folder``, as ``KFT_DATA`` expects it; return ``folder``."""
    for name, write in WRITERS.items():
        write(folder / name)
    return folder


if __name__ == "__main__":
    write_hub_files(Path(sys.argv[1]))
