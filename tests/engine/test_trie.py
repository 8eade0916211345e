"""The engine against plain generation, on tiny random models in float32."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kft_tasks.answering.plain_instance import plain_instance
from kft_tasks.engine.decoding import context_key
from kft_tasks.engine.engine import Engine
from kft_tasks.engine.trie import PartitionedTrie
from kft_tasks.errors import UnsupportedModelError
from kft_tasks.models.weights import quiet_transformers
from tiny import ARCHITECTURES, make_tiny_tokenizer

MAX_TOKENS = 8
TYPES, SETS, NAMES = ("capital", "river"), (0, 1), ("Rome", "Romania", "Oslo")
PROMPTS = [
    f"Question: Which {type_} is {number}?\nAnswer: {'ab'[number]}\n\nQuestion: Which {type_} is {name}?\nAnswer:"
    for type_, number, name in itertools.product(TYPES, SETS, NAMES)
]
GROUPS = [f"{number}|{type_}" for type_, number, _ in itertools.product(TYPES, SETS, NAMES)]
ALL = range(len(PROMPTS))
KEYS = [context_key(0, prompt, 0) for prompt in PROMPTS]
DRAW = {"count": 4, "temperature": 0.5}

Load = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def load(tiny_folder: Callable[[str], Path]) -> Load:
    """A fresh model with its tokenizer."""

    def loaded(architecture: str = "llama", **config: Any) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = tiny_folder(architecture)
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **config)
        return model.eval(), AutoTokenizer.from_pretrained(folder)

    return loaded


@pytest.fixture(scope="module")
def engine_of(load: Load) -> Callable[[str], Engine]:
    """One engine per architecture; tests leave it as they found it, except for its caches."""
    return functools.cache(lambda architecture: Engine(*load(architecture)))


@pytest.fixture(scope="module")
def plain(load: Load) -> Callable[[str], list[list[int]]]:
    """Greedy tokens of every prompt by ``model.generate``, one prompt per call."""

    @functools.cache
    def generated(architecture: str) -> list[list[int]]:
        return _generate(*load(architecture))

    return generated


def _generate(model: Any, tokenizer: Any, prompts: Sequence[str] = PROMPTS) -> list[list[int]]:
    import torch

    answers = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        with torch.inference_mode():
            output = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=MAX_TOKENS,
                pad_token_id=tokenizer.pad_token_id,
            )
        answers.append(output[0, ids.shape[1] :].tolist())
    return answers


def _open(engine: Engine, which: Sequence[int] = ALL, *, grouped: bool = True, top_k: int = 40, **kwargs: Any) -> Any:
    return engine.open(
        engine.encode([PROMPTS[index] for index in which]),
        groups=[GROUPS[index] for index in which] if grouped else None,
        top_k=top_k,
        **{"max_tokens": MAX_TOKENS, "stop": ("\n",), **kwargs},
    )


def _letters(tokens: Sequence[int]) -> str:
    """One letter per token: replaces ``PackedModel.text`` in tests that need to see tokens, and stop strings in them."""
    return "".join(chr(0x4E00 + token) for token in tokens)


def _decode(tokenizer: Any, tokens: Sequence[int], *stops: str) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    return min((text.split(stop)[0] for stop in stops), key=len, default=text)


@pytest.fixture(params=[True, False], ids=["segments", "one mask"])
def segmented(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine], Engine]:
    """Choose how an engine computes attention; it must not matter."""

    def chosen(engine: Engine) -> Engine:
        if request.param and not engine.model.segmented:
            pytest.skip("this architecture runs with one mask only")
        monkeypatch.setattr(engine.model, "segmented", request.param)
        engine.prefixes.clear()
        return engine

    return chosen


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_answers_are_those_of_plain_generation(
    engine_of: Any, plain: Any, segmented: Any, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = segmented(engine_of(architecture))
    monkeypatch.setattr(engine.model, "text", _letters)
    expected = [_letters(tokens) for tokens in plain(architecture)]
    assert len(set(expected)) > len(PROMPTS) // 2  # otherwise the comparison would prove little
    stop: dict[str, Any] = {"stop": ()}
    assert _open(engine, **stop).greedy(ALL) == expected
    assert _open(engine, grouped=False, **stop).greedy(ALL) == expected
    assert _open(engine, ALL[::-1], **stop).greedy(ALL)[::-1] == expected
    assert [_open(engine, [index], **stop).greedy([0])[0] for index in ALL] == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_answers_are_those_of_lm_evals_own_generation(engine_of: Any, tiny_lm: Any, architecture: str) -> None:
    lm = tiny_lm(architecture, batch_size=4)
    chosen = {"until": ["\n"], "max_gen_toks": MAX_TOKENS, "do_sample": False}
    requests = [plain_instance(prompt, chosen, doc_id=i) for i, prompt in enumerate(PROMPTS)]
    assert _open(engine_of(architecture)).greedy(ALL) == lm.generate_until(requests, disable_tqdm=True)


def test_attention_is_by_segments_where_pytorchs_is_used_and_by_one_mask_elsewhere(engine_of: Any) -> None:
    import transformers

    by_segments = {architecture for architecture in ARCHITECTURES if engine_of(architecture).model.segmented}
    assert by_segments == set(ARCHITECTURES) - {"gemma2"}  # its logit cap needs the eager kernel
    # from transformers 5.21 on it is eager by default; before that, segments are tried and rejected
    eager = tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 21)
    assert engine_of("gemma2").model.model.config._attn_implementation == ("eager" if eager else "kft_segments")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sample_does_not_depend_on_its_company(engine_of: Any, segmented: Any, architecture: str) -> None:
    engine = segmented(engine_of(architecture))
    alone = [_open(engine, [index]).sample([0], [KEYS[index]], **DRAW)[0] for index in ALL]
    assert len(set(itertools.chain(*alone))) > 2 * len(PROMPTS)

    def drawn(trie: Any, which: Sequence[int], indices: Sequence[int]) -> None:
        given = trie.sample(which, [KEYS[index] for index in indices], **DRAW)
        assert given == [alone[index] for index in indices]

    engine.prefixes.clear()  # cold
    drawn(_open(engine), ALL, ALL)
    drawn(_open(engine), ALL, ALL)  # warm
    drawn(_open(engine, grouped=False), ALL, ALL)
    drawn(_open(engine, ALL[::-1]), ALL[::-1], ALL)
    drawn(_open(engine, [3, 8, 3]), [0, 1, 2], [3, 8, 3])
    trie = _open(engine)
    drawn(trie, [7, 2], [7, 2])  # a part of the trie, then the rest, then again
    drawn(trie, ALL, ALL)
    drawn(trie, [2], [2])


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
@pytest.mark.parametrize("kept", [[0], [11], [4, 9], [0, 1, 2], [2, 5, 8, 11], list(range(11))])
def test_answers_do_not_depend_on_what_was_given_up(engine_of: Any, architecture: str, kept: list[int]) -> None:
    engine = engine_of(architecture)
    whole = _open(engine)
    greedy = whole.greedy(ALL)
    sampled = whole.sample(ALL, KEYS, **DRAW)
    trie = _open(engine)
    assert trie.greedy(ALL) == greedy
    before = trie.slots
    trie.keep(kept)
    assert trie.slots < before if len(kept) < 4 else trie.slots <= before
    assert trie.greedy(kept) == [greedy[index] for index in kept]
    keys = [KEYS[index] for index in kept]
    assert trie.sample(kept, keys, **DRAW) == [sampled[index] for index in kept]
    trie.keep(kept[:1])
    assert trie.sample(kept[:1], keys[:1], **DRAW) == [sampled[kept[0]]]
    assert trie.greedy(ALL) == greedy  # what was freed is computed again


@pytest.mark.parametrize("settled", [True, False])
def test_near_ties_do_not_depend_on_the_rounding_of_a_pack(
    engine_of: Any, plain: Any, monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    """Noise stands in for rounding that differs from trie to trie, large enough to change answers if it could."""
    import torch

    engine = engine_of("qwen2")
    monkeypatch.setattr(engine.model, "text", _letters)
    everything: dict[str, Any] = {"stop": (), "top_k": 10_000}
    quiet = _open(engine, **everything).sample(ALL, KEYS, **DRAW)
    forward, generator = engine.model.forward, torch.Generator().manual_seed(0)

    def noisy(*args: Any) -> Any:
        logits = forward(*args)
        return logits + 0.2 * (2 * torch.rand(logits.shape, generator=generator) - 1)

    monkeypatch.setattr(engine.model, "forward", noisy)
    monkeypatch.setattr(engine.model, "margin", 0.5 if settled else 0.0)
    trie = _open(engine, **everything)
    assert (trie.greedy(ALL) == [_letters(tokens) for tokens in plain("qwen2")]) is settled
    assert (trie.sample(ALL, KEYS, **DRAW) == quiet) is settled


def test_samples_depend_on_key_number_and_nothing_else(engine_of: Any) -> None:
    trie = _open(engine_of("llama"))
    first = trie.sample([0], [1], 6, 0.5)[0]
    assert trie.sample([0], [1], 3, 0.5)[0] == first[:3]
    assert trie.sample([0, 1, 0], [1, 9, 1], 6, 0.5)[::2] == [first, first]
    assert trie.sample([0], [2], 6, 0.5)[0] != first


def test_a_sample_at_almost_no_temperature_or_of_one_candidate_is_greedy(engine_of: Any) -> None:
    engine = engine_of("llama")
    greedy = [(answer,) * 3 for answer in _open(engine).greedy(ALL)]
    assert _open(engine).sample(ALL, KEYS, 3, 1e-6) == greedy
    assert _open(engine, top_k=1).sample(ALL, KEYS, 3, 5.0) == greedy


@pytest.mark.parametrize("top_k", [1, 2, 40, 10_000])
def test_more_candidates_than_the_vocabulary_are_all_of_it(engine_of: Any, top_k: int) -> None:
    engine = engine_of("llama")
    answers = _open(engine, top_k=top_k, max_tokens=1).sample([0], [1], 300, 50.0)[0]
    assert len(set(answers)) <= min(top_k, len(engine.model.tokenizer))


def test_prompts_that_are_alike_or_begin_one_another_are_answered_each(engine_of: Any) -> None:
    engine = engine_of("llama")
    texts = ["ab", "abc", "ab", "a", "abcd", "x"]
    single = [engine.open(engine.encode([text]), max_tokens=4, stop=()).greedy([0])[0] for text in texts]
    assert engine.open(engine.encode(texts), max_tokens=4, stop=()).greedy(range(6)) == single


def test_a_prompt_longer_than_one_forward_call_gives_the_same(
    engine_of: Any, segmented: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = segmented(engine_of("llama"))
    greedy, sampled = _open(engine).greedy(ALL), _open(engine).sample(ALL, KEYS, **DRAW)
    monkeypatch.setattr(engine.budget, "rows", 7)
    engine.prefixes.clear()
    trie = _open(engine)
    assert trie.greedy(ALL) == greedy
    assert trie.sample(ALL, KEYS, **DRAW) == sampled


def test_prefixes_are_kept_by_memory_and_those_of_the_last_trie_at_least(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("llama")
    greedy = _open(engine).greedy(ALL)
    needed = engine.prefixes.slots
    assert 0 < needed <= engine.budget.prefix_slots
    engine.open(engine.encode(["another one", "another two"]), max_tokens=1, stop=()).first()
    assert len(engine.prefixes) == 5  # of other tries too, as long as there is room
    monkeypatch.setattr("kft_tasks.engine.kv_budget.PREFIX_SHARE", 0.0)
    engine.prefixes.clear()
    assert _open(engine).greedy(ALL) == greedy
    assert (len(engine.prefixes), engine.prefixes.slots) == (4, needed)
    engine.open(engine.encode(["another one", "another two"]), max_tokens=1, stop=()).first()
    assert len(engine.prefixes) == 1


@pytest.mark.parametrize("rows", [4096, 7])
def test_what_a_kept_prefix_begins_with_is_not_computed_again(
    engine_of: Any, segmented: Any, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    engine = segmented(engine_of("llama"))
    monkeypatch.setattr(engine.model, "margin", 0.0)  # near ties are computed alone
    monkeypatch.setattr(engine.budget, "rows", rows)
    alone = [_open(engine, [index]).first()[0] for index in ALL]
    engine.prefixes.clear()
    _open(engine).first()
    for index in ALL:  # the prefix of a single prompt is all of it but the last token: longer than that of its group
        before = engine.count.prefilled
        ids, values = _open(engine, [index]).first()[0]
        assert engine.count.prefilled - before < len(engine.encode([PROMPTS[index]])[0]) / 3
        assert np.array_equal(ids[:5], alone[index][0][:5])
        assert np.allclose(values, alone[index][1], atol=1e-4)
    before = engine.count.prefilled, len(engine.prefixes)
    trie = _open(engine)
    trie.first()  # prefixes that are the beginning of longer ones, and kept themselves
    assert len(engine.prefixes) == before[1]
    assert engine.count.prefilled - before[0] == trie.slots - sum(len(group.prefix) for group in trie._groups)


# --- counting -------------------------------------------------------------------------------------------------------


def test_every_token_of_the_trie_is_computed_once(engine_of: Any, plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")
    monkeypatch.setattr(engine.model, "margin", 0.0)
    engine.prefixes.clear()
    encoded = engine.encode(PROMPTS)
    grouped = [
        (group, tuple(prompt[:end]))
        for group, prompt in zip(GROUPS, encoded, strict=True)
        for end in range(1, len(prompt) + 1)
    ]
    before = engine.count.prefilled
    trie = _open(engine, stop=())
    trie.first()
    assert engine.count.prefilled - before == len(set(grouped))
    again = engine.count.prefilled
    _open(engine, stop=()).first()
    reused = sum(map(len, engine.prefixes._kept))
    assert engine.count.prefilled - again == len(set(grouped)) - reused

    tokens = plain("llama")
    decoded, prompt_tokens, answer_tokens = (
        engine.count.decoded,
        engine.count.prompt_tokens,
        engine.count.answer_tokens,
    )
    trie.greedy(ALL)
    assert engine.count.decoded - decoded == sum(len(answer) - 1 for answer in tokens)  # the last needs no forward
    assert engine.count.answer_tokens - answer_tokens == sum(map(len, tokens))
    assert engine.count.prompt_tokens - prompt_tokens == sum(map(len, encoded))
    decoded = engine.count.decoded
    trie.greedy(ALL)
    assert engine.count.decoded == decoded  # the trie has them


def test_finished_rows_leave_and_equal_samples_are_one_row(engine_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of("llama")
    rows: list[int] = []
    forward = engine.model.forward

    def counted(cache: Any, tokens: Sequence[int], *args: Any) -> Any:
        rows.append(len(tokens))
        return forward(cache, tokens, *args)

    monkeypatch.setattr(engine.model, "text", _letters)
    monkeypatch.setattr(engine.model, "margin", 0.0)
    frequent = _open(engine, [0], stop=()).sample([0], [1], 32, 0.5)[0][0][2]
    monkeypatch.setattr(engine.model, "eos", frozenset({ord(frequent) - 0x4E00}))
    trie = _open(engine, [0], stop=())
    trie.first()
    monkeypatch.setattr(engine.model, "forward", counted)
    answers = trie.sample([0], [1], 32, 0.5)[0]
    levels = [{answer[:length] for answer in answers if len(answer) >= length} for length in range(1, MAX_TOKENS)]
    assert rows == [len(level) for level in levels if level]
    assert len({*map(len, answers)}) > 1
    assert rows[0] < 32


# --- where an answer ends -------------------------------------------------------------------------------------------


@pytest.fixture
def lettered(engine_of: Any, plain: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Engine, int, str]:
    """An engine whose answers show their tokens, and a prompt with its plain answer, of eight different tokens."""
    engine = engine_of("qwen2")
    monkeypatch.setattr(engine.model, "text", _letters)
    monkeypatch.setattr(engine.model, "eos", frozenset())
    index = next(index for index, tokens in enumerate(plain("qwen2")) if len(set(tokens)) == MAX_TOKENS)
    return engine, index, _letters(plain("qwen2")[index])


def test_stop_strings_end_an_answer_at_the_first_of_them(lettered: tuple[Engine, int, str]) -> None:
    engine, index, text = lettered
    middle, late = text[3:6], text[5:7]
    cases: list[tuple[tuple[str, ...], str]] = [
        ((), text),
        (("",), text),
        (("not in it",), text),
        ((middle,), text[:3]),
        ((middle[::-1], late), text[:5]),
        ((late, middle), text[:3]),
        ((text[0],), ""),
        ((text,), ""),
    ]
    for stop, expected in cases:
        before = engine.count.answer_tokens
        assert _open(engine, [index], stop=stop).greedy([0]) == [expected], stop
        ends = [text.find(one) + len(one) for one in stop if one and one in text]
        assert engine.count.answer_tokens - before == min(ends, default=MAX_TOKENS), stop  # none after the stop


def _blank_first(count: int) -> Callable[[Sequence[int]], str]:
    """Tokens as text, the first ``count`` of every answer as newlines: replaces ``PackedModel.text``."""
    return lambda tokens: "\n" * min(count, len(tokens)) + _letters(tokens[count:])


@pytest.mark.parametrize("blank", [0, 1, 3, MAX_TOKENS])
def test_stop_strings_in_front_of_an_answer_do_not_end_it_if_blank_lines_are_skipped(
    lettered: tuple[Engine, int, str], monkeypatch: pytest.MonkeyPatch, blank: int
) -> None:
    engine, index, text = lettered
    monkeypatch.setattr(engine.model, "text", _blank_first(blank))
    lines = "\n" * blank
    cases: list[tuple[tuple[str, ...], str, int]] = [
        (("\n",), lines + text[blank:], MAX_TOKENS),  # max_tokens counts the blank lines
        (("\n", text[5]), lines + text[blank:5], 6 if blank < 5 else MAX_TOKENS),
        ((text[blank:][:1], "\n"), lines, min(blank + 1, MAX_TOKENS)),
    ]
    for stop, expected, tokens in cases:
        before = engine.count.answer_tokens
        assert _open(engine, [index], stop=stop, skip_blank_lines=True).greedy([0]) == [expected], stop
        assert engine.count.answer_tokens - before == tokens, stop
    before = engine.count.answer_tokens
    assert _open(engine, [index]).greedy([0]) == ["" if blank else text]
    assert engine.count.answer_tokens - before == (1 if blank else MAX_TOKENS)


@pytest.mark.parametrize("blank", [1, 3])
def test_samples_and_answers_in_several_tries_skip_blank_lines_too(
    engine_of: Any, plain: Any, monkeypatch: pytest.MonkeyPatch, blank: int
) -> None:
    engine = engine_of("qwen2")
    text_of = _blank_first(blank)
    monkeypatch.setattr(engine.model, "text", text_of)
    skipping: dict[str, Any] = {"skip_blank_lines": True}
    whole = _open(engine, stop=(), top_k=40)
    greedy, sampled = whole.greedy(ALL), whole.sample(ALL, KEYS, **DRAW)
    assert greedy == [text_of(tokens) for tokens in plain("qwen2")]
    assert _open(engine, **skipping).greedy(ALL) == greedy
    assert _open(engine, **skipping).sample(ALL, KEYS, **DRAW) == sampled
    assert len(set(itertools.chain(*sampled))) > len(PROMPTS)
    assert set(_open(engine).greedy(ALL)) == {""}
    assert set(itertools.chain(*_open(engine).sample(ALL, KEYS, **DRAW))) == {""}
    monkeypatch.setattr(engine.budget, "budget", 400 * engine.budget.slot_bytes)
    engine.prefixes.clear()
    parted = _open(engine, **skipping)
    assert isinstance(parted, PartitionedTrie)
    assert parted.greedy(ALL) == greedy
    assert parted.sample(ALL, KEYS, **DRAW) == sampled


def test_an_end_of_sequence_token_after_blank_lines_ends_an_empty_answer(
    lettered: tuple[Engine, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, index, text = lettered
    monkeypatch.setattr(engine.model, "text", _blank_first(2))
    for length, expected in ((0, ""), (1, "\n"), (2, "\n\n"), (4, "\n\n" + text[2:4])):
        monkeypatch.setattr(engine.model, "eos", frozenset({ord(text[length]) - 0x4E00}))
        assert _open(engine, [index], skip_blank_lines=True).greedy([0]) == [expected]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_an_answer_has_at_most_max_tokens(lettered: tuple[Engine, int, str], limit: int) -> None:
    engine, index, text = lettered
    trie = _open(engine, [index], max_tokens=limit, stop=())
    assert trie.greedy([0]) == [text[:limit]]
    assert {len(sample) for sample in trie.sample([0], [1], 20, 5.0)[0]} == {limit}


@pytest.mark.parametrize("where", ["tokenizer", "generation_config", "generation_config list"])
def test_an_end_of_sequence_token_ends_an_answer(load: Load, lettered: tuple[Engine, int, str], where: str) -> None:
    _, index, text = lettered
    model, tokenizer = load("qwen2")
    token = ord(text[4]) - 0x4E00
    if where == "tokenizer":
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(token)
    else:
        model.generation_config.eos_token_id = token if where == "generation_config" else [0, token]
    engine = Engine(model, tokenizer)
    engine.model.text = _letters  # type: ignore[method-assign,assignment]
    assert _open(engine, [index], stop=()).greedy([0]) == [text[:4]]


# --- models that a trie does not suit -------------------------------------------------------------------------------


def _built(name: str) -> Any:
    import torch
    import transformers as t

    tokenizer = make_tiny_tokenizer()
    shared = {"vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 0, "pad_token_id": 0}
    gpt = {**shared, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
    usual = {
        **shared,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.2,
    }
    rest = {key: usual[key] for key in (*shared, "hidden_size", "num_hidden_layers", "initializer_range")}
    torch.manual_seed(0)
    build: dict[str, Callable[[], Any]] = {
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(**gpt)),
        "opt": lambda: t.OPTForCausalLM(
            t.OPTConfig(
                **shared,
                hidden_size=32,
                word_embed_proj_dim=32,
                ffn_dim=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                init_std=0.2,
            )
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(**shared, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2)
        ),
        "falcon": lambda: t.FalconForCausalLM(t.FalconConfig(**rest, num_attention_heads=4)),
        "falcon with alibi": lambda: t.FalconForCausalLM(t.FalconConfig(**rest, num_attention_heads=4, alibi=True)),
        "mpt": lambda: t.MptForCausalLM(t.MptConfig(**shared, d_model=32, n_heads=4, n_layers=2)),
        "gpt_neo": lambda: t.GPTNeoForCausalLM(
            t.GPTNeoConfig(
                **shared,
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=8,
                initializer_range=0.2,
            )
        ),
        "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(**rest, state_size=4)),
        "lfm2": lambda: t.Lfm2ForCausalLM(t.Lfm2Config(**usual, layer_types=["conv", "full_attention"])),
        "mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**usual, num_local_experts=4)),
        "gpt_oss": lambda: t.GptOssForCausalLM(
            t.GptOssConfig(**usual, head_dim=8, num_local_experts=4, sliding_window=256)
        ),
        "mistral, window of 64": lambda: t.MistralForCausalLM(t.MistralConfig(**usual, sliding_window=64)),
    }
    return build[name]().eval(), tokenizer


@pytest.mark.parametrize(
    ("name", "supported"),
    [
        ("gpt2", True),
        ("opt", True),
        ("falcon", True),
        ("mixtral", True),
        ("gpt_oss", True),
        ("bloom", False),  # positions come from a two-dimensional mask
        ("falcon with alibi", False),
        ("mpt", False),
        ("gpt_neo", False),  # local attention counts slots, not positions
        ("mamba", False),
        ("lfm2", False),
    ],
)
def test_other_models_give_plain_answers_or_are_refused_never_wrong_ones(name: str, supported: bool) -> None:
    model, tokenizer = _built(name)
    with quiet_transformers():
        if not supported:
            with pytest.raises(UnsupportedModelError, match="trie"):
                Engine(model, tokenizer)
            return
        expected = _generate(model, tokenizer)
        engine = Engine(model, tokenizer)
    assert _open(engine, stop=()).greedy(ALL) == [_decode(tokenizer, tokens) for tokens in expected]


def test_a_prompt_that_does_not_fit_the_sliding_window_is_refused_and_one_that_fits_is_right() -> None:
    model, tokenizer = _built("mistral, window of 64")
    prompts = ["x" * length for length in (10, 64 - MAX_TOKENS)]
    expected = [_decode(tokenizer, tokens) for tokens in _generate(model, tokenizer, prompts)]
    engine = Engine(model, tokenizer)
    trie = engine.open(engine.encode(prompts), max_tokens=MAX_TOKENS, stop=())
    assert trie.greedy([0, 1]) == expected
    with pytest.raises(UnsupportedModelError, match="Prompt and answer of 65 tokens exceed the sliding window of 64"):
        engine.open(engine.encode(["x" * (65 - MAX_TOKENS)]), max_tokens=MAX_TOKENS, stop=())


def test_a_model_that_was_refused_still_generates_as_before() -> None:
    model, tokenizer = _built("mpt")
    expected = _generate(model, tokenizer, PROMPTS[:2])
    with pytest.raises(UnsupportedModelError):
        Engine(model, tokenizer)
    assert _generate(model, tokenizer, PROMPTS[:2]) == expected


def test_a_model_that_was_made_an_engine_still_generates_as_before(load: Load, plain: Any) -> None:
    model, tokenizer = load("llama")
    Engine(model, tokenizer)
    assert _generate(model, tokenizer) == plain("llama")


# --- adapters, precision, the real model ----------------------------------------------------------------------------


def test_an_adapter_that_is_not_merged_gives_the_answers_of_the_merged_model(load: Load, plain: Any) -> None:
    import copy

    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model, tokenizer = load("llama")
    config = LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")  # PEFT asks transformers
        adapted = get_peft_model(model, config).eval()
    merged = copy.deepcopy(adapted).merge_and_unload().eval()
    expected = [_decode(tokenizer, tokens, "\n") for tokens in _generate(merged, tokenizer)]
    assert expected != [_decode(tokenizer, tokens, "\n") for tokens in plain("llama")]
    engines = [Engine(model, tokenizer) for model in (adapted, merged)]
    assert [engine.model.segmented for engine in engines] == [True, True]
    assert _open(engines[0]).greedy(ALL) == _open(engines[1]).greedy(ALL) == expected
    drawn = [_open(engine).sample(ALL, KEYS, **DRAW) for engine in engines]
    assert drawn[0] == drawn[1]


def test_in_bfloat16_the_same_pack_gives_the_same_answers(load: Load) -> None:
    import torch

    model, tokenizer = load("llama")
    engine = Engine(model.to(torch.bfloat16), tokenizer)
    tries = []
    for _ in range(2):
        engine.prefixes.clear()
        tries.append(_open(engine))
    assert tries[0].greedy(ALL) == tries[1].greedy(ALL)
    assert tries[0].sample(ALL, KEYS, **DRAW) == tries[1].sample(ALL, KEYS, **DRAW)


@pytest.mark.model
def test_the_embedded_model_gives_plain_answers(embedded_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(embedded_model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(embedded_model)
    countries = ["France", "Japan", "Chad"]
    prompts = [
        f"Question: What is the capital of Italy?\nAnswer: Rome\n\nQuestion: What is the capital of {name}?\nAnswer:"
        for name in countries
    ]
    expected = [_decode(tokenizer, tokens, "\n") for tokens in _generate(model, tokenizer, prompts)]
    assert expected[:2] == [" Paris", " Tokyo"]
    engine = Engine(model, tokenizer)
    assert engine.model.segmented
    trie = engine.open(engine.encode(prompts), max_tokens=MAX_TOKENS, stop=("\n",), top_k=40)
    assert trie.greedy(range(3)) == expected
    alone = engine.open(engine.encode(prompts[2:]), max_tokens=MAX_TOKENS, stop=("\n",), top_k=40)
    assert trie.sample(range(3), KEYS[:3], 4, 0.5)[2:] == alone.sample([0], KEYS[2:3], 4, 0.5)


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [150, 400, 700, 1500])
def test_a_small_budget_is_kept_and_changes_no_answer(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    """The prompts have 1,300 slots; the longest needs 76 and its samples 4 x 8."""
    engine = engine_of("llama")
    whole = _open(engine)
    greedy, sampled = whole.greedy(ALL), whole.sample(ALL, KEYS, **DRAW)
    del whole
    monkeypatch.setattr(engine.budget, "budget", slots * engine.budget.slot_bytes)
    monkeypatch.setattr(engine.budget, "peak", 0)
    engine.prefixes.clear()
    first, second = _open(engine), _open(engine)
    assert first.greedy(ALL) == greedy
    assert second.greedy(ALL) == greedy
    assert first.sample(ALL, KEYS, **DRAW) == sampled
    first.keep([1, 4, 7, 11])
    keys = [KEYS[index] for index in (11, 4)]
    assert second.sample([11, 4], keys, **DRAW) == [sampled[11], sampled[4]]
    assert first.sample([11, 4], keys, **DRAW) == [sampled[11], sampled[4]]
    assert first.greedy([1, 7]) == [greedy[1], greedy[7]]
    keys = [KEYS[index] for index in (1, 4, 7, 11)]
    assert first.sample([1, 4, 7, 11], keys, **DRAW) == [sampled[index] for index in (1, 4, 7, 11)]
    assert 0 < engine.budget.peak <= slots


def test_storage_grows_seldom_counts_as_memory_and_is_not_ahead_where_others_need_it(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("llama")
    trie = _open(engine, ALL[:3], stop=())
    trie.first()
    exact = trie.slots
    assert trie._cache.get_seq_length() == exact  # nothing ahead for prompts
    places = set()
    forward = engine.model.forward

    def watched(cache: Any, *args: Any) -> Any:
        result = forward(cache, *args)
        if cache is trie._cache:
            places.add(cache.layers[0].keys.untyped_storage().nbytes())
        return result

    monkeypatch.setattr(engine.model, "forward", watched)
    trie.greedy([0, 1, 2])
    per_slot = engine.budget.slot_bytes // (2 * len(trie._cache.layers))
    assert len(places) == 1  # one growth for seven steps
    assert places == {trie.slots * per_slot}
    assert trie._cache.get_seq_length() < trie.slots <= 1.5 * (exact + 3) + 1
    full = _open(engine, ALL[:3], stop=())
    full.first()
    held = sum(holder.slots for holder in engine.budget._last_use)
    monkeypatch.setattr(engine.budget, "budget", (held + 4) * engine.budget.slot_bytes)
    full._reserve(3, 0.5)
    assert full.slots == exact + 4  # room for half as many again is not there, and nobody is made to release it
    assert trie.slots > 0


def test_a_pack_that_made_room_computes_its_cache_again_and_only_then(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("llama")
    monkeypatch.setattr(engine.model, "margin", 0.0)  # near ties are computed alone
    first = _open(engine)
    greedy = first.greedy(ALL)
    first.release()
    before = engine.count.prefilled
    assert first.greedy(ALL) == greedy
    again = engine.count.prefilled - before
    assert 0 < again < sum(len(prompt) for prompt in first._prompts)  # the exemplars are kept
    assert first.greedy(ALL) == greedy
    assert engine.count.prefilled - before == again


@pytest.mark.parametrize("failing", [1, 2])
def test_a_call_that_does_not_fit_is_made_with_half_the_tokens(
    engine_of: Any, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    import torch

    engine = engine_of("llama")
    greedy, sampled = _open(engine).greedy(ALL), _open(engine).sample(ALL, KEYS, **DRAW)
    monkeypatch.setattr(engine.budget, "rows", 128)
    last = engine.model.model.model.layers[-1]
    calls = itertools.count(1)

    def full(module: Any, args: Any) -> None:
        if args[0].shape[1] > 100 and next(calls) >= failing:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = last.register_forward_pre_hook(full)
    engine.prefixes.clear()
    try:
        assert _open(engine, grouped=False).greedy(ALL) == greedy
        assert engine.budget.rows == 64
        assert _open(engine).sample(ALL, KEYS, **DRAW) == sampled
    finally:
        hook.remove()


def test_a_model_that_fits_in_no_way_says_so(engine_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    engine = engine_of("llama")
    monkeypatch.setattr(engine.budget, "rows", engine.budget.rows)

    def full(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(engine.model, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        _open(engine).greedy(ALL)


# --- the distribution of samples ------------------------------------------------------------------------------------


def _probabilities(model: Any, ids: Sequence[int], top_k: int, temperature: float) -> dict[int, float]:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double()
    values, tokens = logits.topk(top_k)
    return dict(zip(tokens.tolist(), torch.softmax(values / temperature, -1).tolist(), strict=True))


def _p_value(counts: Counter[int], probabilities: dict[int, float]) -> float:
    """Chi-square, with all values that are expected fewer than 5 times merged into one cell."""
    from scipy.stats import chisquare

    total = counts.total()
    assert set(counts) <= set(probabilities)
    often = [token for token, share in probabilities.items() if share * total >= 5]
    observed = [counts[token] for token in often]
    expected = [probabilities[token] * total for token in often]
    if total - sum(expected) >= 5:
        observed.append(total - sum(observed))
        expected.append(total - sum(expected))
    else:  # too rare for a cell of its own
        expected[-1] += total - sum(expected)
        observed[-1] += total - sum(observed)
    assert len(observed) > 10
    return float(chisquare(observed, expected).pvalue)


@pytest.mark.parametrize(("keys", "count"), [(1, 20_000), (5_000, 4)], ids=["over samples", "over keys"])
def test_samples_are_distributed_as_softmax_at_the_temperature_over_the_top_k(
    engine_of: Any, load: Load, monkeypatch: pytest.MonkeyPatch, keys: int, count: int
) -> None:
    engine = engine_of("llama")
    monkeypatch.setattr(engine.model, "text", lambda tokens: " ".join(map(str, tokens)))
    trie = _open(engine, [0], max_tokens=2, stop=())
    chosen = [context_key(0, f"question {number}", 0) for number in range(keys)]
    drawn = [tuple(map(int, text.split())) for given in trie.sample([0] * keys, chosen, count, 0.5) for text in given]
    model, tokenizer = load("llama")
    ids = tokenizer(PROMPTS[0])["input_ids"]
    first = Counter(tokens[0] for tokens in drawn if tokens)
    assert _p_value(first, _probabilities(model, ids, 40, 0.5)) > 1e-3
    likeliest = first.most_common(1)[0][0]
    second = Counter(tokens[1] for tokens in drawn if len(tokens) == 2 and tokens[0] == likeliest)
    probabilities = _probabilities(model, [*ids, likeliest], 40, 0.5)
    second[tokenizer.eos_token_id] += sum(tokens == (likeliest,) for tokens in drawn)
    assert _p_value(+second, probabilities) > 1e-3
    assert np.isclose(sum(probabilities.values()), 1)
