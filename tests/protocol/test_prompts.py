from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import UsageError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.prompts import TEMPLATES, chat_messages, completion_text, get_template, prompt_text
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question
from task_helpers import make_exemplars, make_question

SHOTS = (Question("1", "One?", ("1", "uno"), "t", "exemplars"), Question("2", "Two?", ("2",), "t", "exemplars"))


@pytest.mark.parametrize(
    ("name", "shots", "system", "text"),
    [
        ("qa", (), "", "Question: Three?\nAnswer:"),
        ("qa", SHOTS, "", "Question: One?\nAnswer: 1\n\nQuestion: Two?\nAnswer: 2\n\nQuestion: Three?\nAnswer:"),
        ("qa", SHOTS[:1], "Be brief.", "Be brief.\n\nQuestion: One?\nAnswer: 1\n\nQuestion: Three?\nAnswer:"),
        ("slick", SHOTS, "", "Q: One?\nA: 1\nQ: Two?\nA: 2\nQ: Three?\nA:"),
    ],
)
def test_prompt_text(name: str, shots: tuple[Question, ...], system: str, text: str) -> None:
    assert prompt_text(get_template(name), "Three?", shots, system) == text


def test_braces_in_questions_and_answers_are_text() -> None:
    odd = Question("o", "{answer} {question} {0}?", ("{question}",), "t", "exemplars")
    text = prompt_text(TEMPLATES["qa"], "{question}", [odd])
    assert text == "Question: {answer} {question} {0}?\nAnswer: {question}\n\nQuestion: {question}\nAnswer:"


@pytest.mark.parametrize(
    ("multiturn", "system", "roles"),
    [
        (True, "", ["user", "assistant", "user", "assistant", "user"]),
        (True, "Be brief.", ["system", "user", "assistant", "user", "assistant", "user"]),
        (False, "", ["user"]),
        (False, "Be brief.", ["system", "user"]),
    ],
)
def test_chat_messages(multiturn: bool, system: str, roles: list[str]) -> None:
    messages = chat_messages("Three?", SHOTS, system, multiturn=multiturn)
    assert [message["role"] for message in messages] == roles
    last = "Three?" if multiturn else prompt_text(TEMPLATES["qa"], "Three?", SHOTS)
    assert messages[-1] == {"role": "user", "content": last}
    if multiturn:
        assert [m["content"] for m in messages[-5:]] == ["One?", "1", "Two?", "2", "Three?"]


def test_unknown_template_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown template 'slik'. Did you mean 'slick'"):
        get_template("slik")


def _pieces(tokenizer: Any, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    joint = tokenizer(prompt + completion)["input_ids"]
    apart = tokenizer(prompt)["input_ids"] + tokenizer(completion, add_special_tokens=False)["input_ids"]
    return joint, apart


ANSWERS = [
    "Paris",
    "1789",
    "\u00c9vora",
    "'s-Hertogenbosch",
    "\u6771\u4eac",
    "(none)",
    "3.5 kg",
    "U.S.",
    "\u0645\u0635\u0631",
]
BOUNDARY = [(name, answer) for name in TEMPLATES for answer in ANSWERS]


@pytest.mark.parametrize("architecture", ["llama", "gemma"], ids=["without bos", "with bos"])
def test_prompt_and_completion_tokenise_as_one_text_bytes(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    from transformers import AutoTokenizer

    _check_boundary(AutoTokenizer.from_pretrained(tiny_folder(architecture)))


@pytest.mark.parametrize("kind", ["bpe", "metaspace"])
def test_prompt_and_completion_tokenise_as_one_text_with_merges(kind: str) -> None:
    """Tokenizers trained here: byte-level BPE like GPT-2's, and the metaspace BPE of Llama 2, whose words begin with a space."""
    _check_boundary(_trained_tokenizer(kind))


@pytest.mark.model
def test_prompt_and_completion_tokenise_as_one_text_smollm2(embedded_model: Path) -> None:
    from transformers import AutoTokenizer

    _check_boundary(AutoTokenizer.from_pretrained(embedded_model))


def _check_boundary(tokenizer: Any) -> None:
    for name, answer in BOUNDARY:
        template = get_template(name)
        joint, apart = _pieces(tokenizer, prompt_text(template, "Who?", SHOTS), completion_text(template, answer))
        assert joint == apart, (name, answer)


def _trained_tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [prompt_text(TEMPLATES["qa"], f"Who {answer}?", SHOTS) + f" {answer}" for answer in ANSWERS] * 20
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        alphabet = sorted(set("".join(texts)))
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert len(trained("Question")["input_ids"]) < 8  # it merges, so a wrong boundary would show
    return trained


@pytest.fixture
def maker() -> Callable[..., PromptMaker]:
    def make(render: Any = None, *, multiturn: bool = True, **changes: Any) -> PromptMaker:
        protocol = Protocol(**{"exemplar_sets": 2, "shots": 2, **changes})
        return PromptMaker(protocol, ExemplarPool(make_exemplars(), protocol), render, multiturn=multiturn)

    return make


def test_asks_differ_in_key_and_group_by_exemplar_set(maker: Callable[..., PromptMaker]) -> None:
    prompts = maker()
    requests = [prompts.request(make_question(name), number) for name in "xy" for number in (0, 1)]
    assert len({request.key for request in requests}) == len({request.prompt for request in requests}) == 4
    assert [request.group for request in requests] == ["0|t", "1|t", "0|t", "1|t"]
    assert maker(seed=1).request(make_question("x"), 0).key != requests[0].key


def test_fewer_shots_are_the_first_of_the_set(maker: Callable[..., PromptMaker]) -> None:
    prompts, question = maker(), make_question("x")
    two, one, none = (prompts.prompt(question, 0, shots=shots) for shots in (2, 1, 0))
    assert two == prompts.prompt(question, 0)
    assert none == "Question: Is it x?\nAnswer:"
    assert [text.count("Question:") for text in (two, one, none)] == [3, 2, 1]
    assert one.split("\n\n")[0] == two.split("\n\n")[0]


def test_more_shots_than_the_set_has_are_refused(maker: Callable[..., PromptMaker]) -> None:
    with pytest.raises(UsageError, match="3 shots"):
        maker().prompt(make_question("x"), 0, shots=3)


def test_with_a_chat_template_the_model_renders_the_messages(maker: Callable[..., PromptMaker]) -> None:
    seen: list[list[dict[str, str]]] = []

    def render(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return "rendered"

    assert maker(render, system="Be brief.").prompt(make_question("x"), 0) == "rendered"
    assert maker(render, multiturn=False).prompt(make_question("x"), 0) == "rendered"
    assert [[message["role"] for message in messages] for messages in seen] == [
        ["system", "user", "assistant", "user", "assistant", "user"],
        ["user"],
    ]


def test_with_exemplars_per_question_prompts_of_different_questions_share_none(
    maker: Callable[..., PromptMaker],
) -> None:
    def exemplars_of(prompts: PromptMaker, name: str) -> set[str]:
        return set(prompts.prompt(make_question(name), 0).split("\n\n")[:-1])

    fixed, own = maker(), maker(exemplars="per_question")
    assert exemplars_of(fixed, "x") == exemplars_of(fixed, "y")
    assert len({frozenset(exemplars_of(own, name)) for name in "vwxyz"}) > 1
    question = make_question("x")
    assert own.prompt(question, 1).startswith(own.prompt(question, 1, shots=1).split("\n\n")[0])
    assert own.prompt(question, 0) != own.prompt(question, 1)
