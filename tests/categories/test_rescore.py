from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kft_cli.main import main
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.categories.rescore import Corrections, default_output, read_corrections, rescore
from kft_tasks.errors import DataError, StateError, UsageError
from kft_tasks.files import sha256_of_file
from kft_tasks.protocol.prompt_maker import PromptRequest
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, digest_questions
from task_helpers import ListSet, ScriptedAnswerer, chance, make_question, scripted_detection

H, M, W, U = KnowledgeCategory
PROTOCOL = Protocol(exemplar_sets=3, shots=1, samples=2, scorer="exact_match")


class ThreeTexts(ScriptedAnswerer):
    """Answers "yes", "yes indeed" (right only for rules of containment) or "no"."""

    def __init__(self, protocol: Protocol, seed: int) -> None:
        super().__init__(lambda *_: False, protocol)
        self.seed = seed

    def text(self, request: PromptRequest, kind: str, sample: int) -> str:
        level = chance(self.seed, request.question_id)
        place = chance(self.seed, request.question_id, request.exemplar_set, kind, sample)
        if place < level * (1 if kind == "greedy" else 0.5):
            return "yes" if chance(self.seed, place) < 0.5 else "yes indeed"
        return "no"


def detected(folder: Path, name: str, *, lazy: bool, questions: int = 12, seed: int = 0, **changes: Any) -> Path:
    protocol = Protocol(**{**PROTOCOL.to_json(), **changes})
    source = ListSet([make_question(f"q{number}") for number in range(questions)])
    path = folder / f"{name}.categories.jsonl"
    scripted_detection(source, protocol, path, ThreeTexts(protocol, seed), lazy=lazy)
    return path


def categories(path: Path) -> dict[str, KnowledgeCategory]:
    return {item.question.id: item.category for item in CategoryFile(path)}


def write_answers(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def correction(name: str, *answers: str) -> Corrections:
    return Corrections({name: Question(name, f"Is it {name}?", answers, "t", "test")})


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return detected(tmp_path, "full", lazy=False)


@pytest.fixture
def lazy(tmp_path: Path) -> Path:
    return detected(tmp_path, "lazy", lazy=True)


def test_exhaustive_answers_rescored_equal_a_detection_with_the_other_scorer(full: Path, tmp_path: Path) -> None:
    direct = detected(tmp_path, "direct", lazy=False, scorer="answer_contained")

    result = rescore(full, scorer="answer_contained")

    assert result.moved > 0
    assert result.output.read_text().splitlines()[1:] == direct.read_text().splitlines()[1:]
    assert result.header.questions == CategoryFile(direct).header.questions


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["exact_match", "answer_contained"]))
def test_lazy_answers_rescored_never_contradict_the_exhaustive_ones(
    tmp_path_factory: pytest.TempPathFactory, seed: int, old: str
) -> None:
    new = "answer_contained" if old == "exact_match" else "exact_match"
    folder = tmp_path_factory.mktemp("lazy")
    source = detected(folder, "lazy", lazy=True, seed=seed, scorer=old)
    truth = categories(detected(folder, "truth", lazy=False, seed=seed, scorer=new))

    result = rescore(source, scorer=new, allow_undecided=True)

    found = categories(result.output)
    assert found.items() <= truth.items()
    assert truth.keys() - found.keys() == set(result.undecided)


def test_there_and_back_gives_the_same_questions(full: Path, tmp_path: Path) -> None:
    there = rescore(full, tmp_path / "there.jsonl", scorer="answer_contained")
    back = rescore(there.output, tmp_path / "back.jsonl", scorer="exact_match")

    assert back.output.read_text().splitlines()[1:] == full.read_text().splitlines()[1:]


def test_header_records_the_new_protocol_and_where_the_answers_come_from(full: Path) -> None:
    before = CategoryFile(full).header

    result = rescore(full, scorer="answer_contained")

    header = CategoryFile(result.output).header
    assert header == result.header
    assert header.protocol.scorer == "answer_contained"
    assert (header.model, header.questions, header.exhaustive) == (before.model, before.questions, before.exhaustive)
    assert header.rescored is not None
    assert header.rescored.source == sha256_of_file(full)
    assert header.rescored.scorer == "exact_match"
    assert (header.rescored.corrections, header.rescored.corrected, header.rescored.undecided) == (None, 0, 0)
    assert before.rescored is None


def test_moves_count_every_question_once(full: Path) -> None:
    old = categories(full)

    result = rescore(full, scorer="answer_contained")

    new = categories(result.output)
    assert result.total == len(old)
    for (before, after), count in result.moves.items():
        assert count == sum((old[id_], new[id_]) == (before, after) for id_ in old)
    assert result.moved == sum(old[id_] is not new[id_] for id_ in old)


def test_examples_show_an_answer_that_is_scored_otherwise(full: Path) -> None:
    result = rescore(full, scorer="answer_contained", examples=1)

    assert result.examples
    assert all(len(examples) == 1 for examples in result.examples.values())
    assert {example.given for examples in result.examples.values() for example in examples} == {("yes indeed", True)}


def test_no_examples_when_none_are_wanted(full: Path) -> None:
    assert not any(rescore(full, scorer="answer_contained", examples=0).examples.values())


def only(path: Path, category: KnowledgeCategory) -> CategorizedQuestion:
    return next(item for item in CategoryFile(path) if item.category is category)


def test_a_corrected_alias_changes_one_question_alone(full: Path) -> None:
    unknown = only(full, U)

    result = rescore(full, corrections=correction(unknown.question.id, "no"))

    new = {item.question.id: item for item in CategoryFile(result.output)}
    assert new[unknown.question.id].category is H
    assert new[unknown.question.id].question.answers == ("no",)
    assert {id_ for id_, old in categories(full).items() if new[id_].category is not old} == {unknown.question.id}
    assert (result.used, result.corrected, result.moved) == (1, 1, 1)


def test_corrected_answers_give_the_questions_another_digest(full: Path) -> None:
    chosen = correction("q3", "no", "nope")

    header = rescore(full, corrections=chosen).header

    assert header.questions.digest == digest_questions(item.question for item in CategoryFile(default_output_of(full)))
    assert header.questions.digest != CategoryFile(full).header.questions.digest
    assert header.rescored is not None
    assert header.rescored.corrections == digest_questions(chosen.questions.values())
    assert header.protocol == CategoryFile(full).header.protocol


def default_output_of(path: Path) -> Path:
    return default_output(path, "exact_match")


def test_corrections_that_change_nothing_keep_the_digest(full: Path) -> None:
    result = rescore(full, corrections=correction("q3", "yes"))

    assert result.header.questions == CategoryFile(full).header.questions
    assert (result.used, result.corrected) == (1, 0)


def lazy_maybe_known(path: Path) -> CategorizedQuestion:
    """Decided by two answers; the third was never requested."""
    return next(item for item in CategoryFile(path) if item.category is M and item.greedy.asked < 3)


def test_undecided_questions_are_refused_with_count_and_remedy(lazy: Path) -> None:
    item = lazy_maybe_known(lazy)
    chosen = correction(item.question.id, "something else")  # one right and one wrong become two wrong

    with pytest.raises(
        DataError, match=r"1 of 12 questions are undecided.*exhaustively.*or allow undecided questions"
    ) as error:
        rescore(lazy, corrections=chosen)

    assert item.question.id in str(error.value)
    assert not default_output_of(lazy).exists()


def test_undecided_questions_are_left_out_counted_and_named_when_allowed(lazy: Path) -> None:
    id_ = lazy_maybe_known(lazy).question.id

    result = rescore(lazy, corrections=correction(id_, "something else"), allow_undecided=True)

    left = categories(result.output)
    assert result.undecided == [id_]
    assert left == {other: category for other, category in categories(lazy).items() if other != id_}
    assert result.moves[M, None] == 1
    assert result.header.rescored is not None
    assert result.header.rescored.undecided == 1
    assert result.header.questions.count == 11
    assert result.examples[M, None][0].given is not None


def test_a_file_of_undecided_questions_only_is_refused_even_if_allowed(tmp_path: Path) -> None:
    lazy = detected(tmp_path, "lazy", lazy=True, questions=400)
    id_ = lazy_maybe_known(lazy).question.id
    lines = [line for line in lazy.read_text().splitlines() if f'"{id_}"' in line]
    header = json.loads(lazy.read_text().splitlines()[0])
    header["counts"] = {"HighlyKnown": 0, "MaybeKnown": 1, "WeaklyKnown": 0, "Unknown": 0}
    header["questions"]["count"] = 1
    lazy.write_text("\n".join([json.dumps(header), *lines]) + "\n")

    with pytest.raises(DataError, match="no longer decide any question"):
        rescore(lazy, corrections=correction(id_, "else"), allow_undecided=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fix.jsonl", '{"id": "q1", "question": "Is it q1?", "answers": ["no", "nope"]}\n'),
        ("fix.csv", 'id,question,answers\nq1,Is it q1?,"[""no"", ""nope""]"\n'),
        ("fix.tsv", "id\tquestion\tanswers\nq1\tIs it q1?\tno\n"),
    ],
)
def test_corrections_are_read_from_any_question_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    found = read_corrections(tmp_path / name)

    assert list(found.questions) == ["q1"]
    assert found.questions["q1"].answers[0] == "no"


def test_corrections_with_an_id_twice_are_refused(tmp_path: Path) -> None:
    row = {"id": "q1", "question": "Is it q1?", "answers": ["no"]}

    with pytest.raises(DataError, match="'q1' is duplicated"):
        read_corrections(write_answers(tmp_path / "fix.jsonl", [row, row]))


def test_empty_corrections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no questions"):
        read_corrections(write_answers(tmp_path / "fix.jsonl", []))


def test_corrections_of_another_question_text_are_refused(full: Path) -> None:
    other = Corrections({"q1": Question("q1", "Is it q2?", ("no",), "t", "test")})

    with pytest.raises(DataError, match=r"'q1' is 'Is it q1\?' in the category file"):
        rescore(full, corrections=other)


def test_corrections_of_other_questions_only_are_refused(full: Path) -> None:
    with pytest.raises(DataError, match="no question has an id of the corrections"):
        rescore(full, corrections=correction("elsewhere", "no"))


def test_nothing_to_change_is_refused(full: Path) -> None:
    with pytest.raises(UsageError, match="Nothing would change"):
        rescore(full)


def test_an_output_that_exists_is_kept_unless_told_otherwise(full: Path) -> None:
    first = rescore(full, scorer="answer_contained").output.read_bytes()

    with pytest.raises(StateError, match=r"exists.*or overwrite it"):
        rescore(full, scorer="answer_contained")

    assert rescore(full, scorer="answer_contained", overwrite=True).output.read_bytes() == first


def test_the_source_is_never_overwritten(full: Path) -> None:
    with pytest.raises(UsageError, match="Choose another output"):
        rescore(full, full, scorer="answer_contained", overwrite=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.categories.jsonl", "a.f.categories.jsonl"),
        ("a.jsonl", "a.f.categories.jsonl"),
        ("a", "a.f.categories.jsonl"),
        (".jsonl", ".jsonl.f.categories.jsonl"),
    ],
)
def test_default_output_lies_beside_the_source(name: str, expected: str) -> None:
    assert default_output(Path("x") / name, "f") == Path("x") / expected


@pytest.mark.parametrize(
    "rescored",
    [None, 1, {}, {"source": "s"}, {"source": 1, "scorer": "f"}, {"source": "s", "scorer": "f", "corrected": "1"},
     {"source": "s", "scorer": "f", "more": 1}],
)  # fmt: skip
def test_a_broken_record_of_the_rescoring_is_an_error(full: Path, rescored: Any) -> None:
    header, _, rest = full.read_text().partition("\n")
    full.write_text(json.dumps({**json.loads(header), "rescored": rescored}) + "\n" + rest)

    with pytest.raises(DataError, match="broken header"):
        CategoryFile(full)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["kft", "rescore", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_command_prints_what_moved(full: Path, run: Run) -> None:
    code, out, err = run(full, "--scorer", "answer_contained")

    assert code == 0
    assert "full.categories.jsonl: exact_match → answer_contained" in out
    assert "questions have another category" in out
    assert "yes indeed" in out
    assert str(default_output(full, "answer_contained")) in err


def test_command_explains_changed_verdicts(
    full: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    code, out, _ = run(full, "--scorer", "answer_contained", "--explain")
    text = " ".join(out.split())
    assert code == 0
    assert "yes indeed exact_match wrong equal to no accepted answer after SQuAD's" in text
    assert "yes indeed answer_contained right all words of an accepted answer are in it, in order yes" in text

    code, out, _ = run(full, "--scorer", "answer_contained", "-o", tmp_path / "two.jsonl", "--explain", "--json")
    given = [example["given"] for example in json.loads(out)["examples"]]
    assert code == 0
    assert given
    for one in given:
        assert one["right_now"] is one["why_now"]["verdict"] is True
        assert one["why_before"] == {
            "verdict": False,
            "rule": "equal to no accepted answer after SQuAD's normalisation with typographic punctuation",
            "words": "yes indeed",
        }
        assert one["why_now"]["words"] == "yes"


def test_command_explains_only_when_asked(full: Path, run: Run) -> None:
    _, out, _ = run(full, "--scorer", "answer_contained", "--json")
    assert all("why_now" not in example["given"] for example in json.loads(out)["examples"])


def test_corrected_answers_are_explained_by_what_is_accepted_now(full: Path) -> None:
    changed = next(item for item in CategoryFile(full) if "no" in item.greedy_answers)
    result = rescore(
        full, corrections=correction(changed.question.id, "no"), explained=True, allow_undecided=True, examples=20
    )
    why = [example.why for found in result.examples.values() for example in found if example.id == changed.question.id]
    assert why
    assert why[0] is not None
    assert why[0][0].verdict is not why[0][1].verdict


def test_command_names_the_undecided(lazy: Path, tmp_path: Path, run: Run) -> None:
    id_ = lazy_maybe_known(lazy).question.id
    fix = write_answers(
        tmp_path / "fix.jsonl",
        [{"id": name, "question": f"Is it {name}?", "answers": ["else"]} for name in (id_, "elsewhere")],
    )

    code, out, err = run(lazy, "--questions", fix, "--allow-undecided")

    assert code == 0
    assert "Undecided and left out" in out
    assert id_ in out
    assert "1 of 12 questions are undecided" in err
    assert "1 of 2 corrections" in err


def test_command_refuses_the_undecided_with_exit_1_and_json(lazy: Path, tmp_path: Path, run: Run) -> None:
    id_ = lazy_maybe_known(lazy).question.id
    fix = write_answers(tmp_path / "fix.jsonl", [{"id": id_, "question": f"Is it {id_}?", "answers": ["else"]}])

    code, out, _ = run(lazy, "--questions", fix, "--json")

    assert code == 1
    assert "allow undecided questions" in json.loads(out)["error"]


def test_command_gives_one_json_object_for_a_file_and_a_list_for_several(full: Path, lazy: Path, run: Run) -> None:
    code, out, _ = run(full, "--scorer", "answer_contained", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["rescored"]["scorer"] == "exact_match"
    assert sum(count for line in data["moves"].values() for count in line.values()) == 12
    assert set(data["moves"]["MaybeKnown"]) == {*map(str, KnowledgeCategory), "undecided"}

    code, out, _ = run(full, lazy, "--scorer", "answer_contained", "--allow-undecided", "--overwrite", "--json")
    assert code == 0
    assert [Path(document["file"]).name for document in json.loads(out)] == [
        "full.answer_contained.categories.jsonl",
        "lazy.answer_contained.categories.jsonl",
    ]


def test_command_writes_several_files_into_a_folder(full: Path, lazy: Path, tmp_path: Path, run: Run) -> None:
    code, _, _ = run(full, lazy, "--scorer", "answer_contained", "--allow-undecided", "-o", tmp_path / "new")

    assert code == 0
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_command_refuses_two_outputs_of_one_name(full: Path, tmp_path: Path, run: Run) -> None:
    code, _, err = run(full, full, "--scorer", "answer_contained")
    assert code == 2
    assert "Score them one by one" in err

    (tmp_path / "file").write_text("")
    code, _, err = run(full, full, "--scorer", "answer_contained", "-o", tmp_path / "file", "--overwrite")
    assert code == 2
    assert "Name a folder" in err


@pytest.mark.parametrize("arguments", [[], ["--scorer", "nonsense"]])
def test_command_exits_2_for_a_wrong_request(full: Path, run: Run, arguments: list[str]) -> None:
    code, _, err = run(full, *arguments)

    assert code == 2
    assert "Traceback" not in err
