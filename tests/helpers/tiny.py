"""Tiny random models with a byte-level tokenizer, built in code: no network, loadable like any model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gpt_neox")


def make_tiny_tokenizer(*, add_bos: bool = False) -> Any:
    """One token per byte; ``<|end|>`` is end-of-sequence and padding, as in SmolLM2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<|end|>", "<|start|>", "<|bos|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if add_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", vocabulary["<|bos|>"])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|end|>",
        bos_token="<|bos|>",
        additional_special_tokens=["<|start|>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_tiny_model(
    folder: Path, architecture: str = "llama", *, seed: int = 0, hidden: int = 32, layers: int = 2
) -> Path:
    """Save a random model of about 30,000 parameters and its tokenizer; returns the folder.

    Args:
        architecture: one of ``ARCHITECTURES``.
    """
    import torch

    tokenizer = make_tiny_tokenizer(add_bos=architecture.startswith("gemma"))
    torch.manual_seed(seed)
    model = _build(architecture, len(tokenizer), tokenizer, hidden, layers)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def _build(architecture: str, vocabulary: int, tokenizer: Any, hidden: int, layers: int) -> Any:
    import transformers as t

    shared = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,  # answers that differ from prompt to prompt
    }
    grouped = {**shared, "num_key_value_heads": 2}
    size = hidden // 4
    if architecture == "llama":
        return t.LlamaForCausalLM(t.LlamaConfig(**grouped, tie_word_embeddings=True))
    if architecture == "qwen2":
        return t.Qwen2ForCausalLM(t.Qwen2Config(**grouped))
    if architecture == "qwen3":
        return t.Qwen3ForCausalLM(t.Qwen3Config(**grouped, head_dim=size))
    if architecture == "gemma":
        return t.GemmaForCausalLM(t.GemmaConfig(**grouped, head_dim=size))
    if architecture == "gemma2":
        return t.Gemma2ForCausalLM(t.Gemma2Config(**grouped, head_dim=size, query_pre_attn_scalar=size))
    if architecture == "gpt_neox":
        return t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**shared))
    raise ValueError(f"{architecture} is not one of {', '.join(ARCHITECTURES)}")


def liven(folder: Path) -> None:
    """Make the layers outweigh the embeddings, so that answers differ: a random model tends to repeat its last token."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    outputs = ("o_proj.weight", "down_proj.weight", "dense.weight", "dense_4h_to_h.weight")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(outputs):
                parameter *= 8
            elif "gemma2" in str(folder) and "post_" in name:
                parameter += 7  # these norms undo the scale of what they are given
    model.save_pretrained(folder)


def make_newline_model(source: Path, folder: Path, prompts: Sequence[str]) -> Path:
    """A copy of a tiny model (with a head of its own) that begins many answers to these prompts with a newline.

    The output rows of the newline and of the token that most answers begin with are exchanged.
    """
    from collections import Counter

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source)
    rows = model.lm_head.weight
    assert rows is not model.get_input_embeddings().weight
    with torch.no_grad():
        logits = [model(torch.tensor([tokenizer(prompt)["input_ids"]])).logits[0, -1] for prompt in prompts]
        ((common, _),) = Counter(int(row.argmax()) for row in logits).most_common(1)
        pair = [common, tokenizer("\n")["input_ids"][0]]
        rows[pair] = rows[pair[::-1]].clone()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
