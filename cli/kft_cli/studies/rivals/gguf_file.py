"""A transformers folder as a GGUF file for llama.cpp: the same weights in the same precision, nothing quantised.

Only what llama.cpp calls ``llama``, with a byte-level BPE tokenizer as GPT-2's: enough for the embedded model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kft_tasks.errors import DataError
from kft_tasks.files import read_json

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(folder: Path, target: Path, dtype: str) -> Path:
    """Write the model in ``folder`` to the file ``target``; returns it.

    Args:
        folder: of a Llama model of transformers with safetensors.
        dtype: "float32" or "bfloat16", of the matrices; norms are float32, as llama.cpp wants them.

    Raises:
        DataError: another architecture or tokenizer.
    """
    from gguf import GGUFWriter

    config = read_json(folder / "config.json")
    if config.get("model_type") != "llama" or config.get("rope_scaling"):
        raise DataError(f"{folder}: cannot be written as GGUF here. Use a Llama model, or convert it with llama.cpp.")
    writer = GGUFWriter(str(target), "llama")
    _describe(writer, config, dtype)
    _add_tokenizer(writer, folder)
    for name, tensor in _tensors(folder):
        _add_tensor(writer, _gguf_name(name), _as_llama_cpp_wants(name, tensor, config), dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _describe(writer: Any, config: dict[str, Any], dtype: str) -> None:
    from gguf import LlamaFileType

    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(LlamaFileType.ALL_F32 if dtype == "float32" else LlamaFileType.MOSTLY_BF16)


def _add_tokenizer(writer: Any, folder: Path) -> None:
    """The byte-level BPE of ``tokenizer.json``.

    Raises:
        DataError: it is another kind of tokenizer.
    """
    from gguf import TokenType

    tokenizer, config = read_json(folder / "tokenizer.json"), read_json(folder / "config.json")
    model, before = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    plain = before.get("type") == "ByteLevel" and before.get("use_regex") and not before.get("add_prefix_space")
    if model.get("type") != "BPE" or not plain or tokenizer.get("normalizer"):
        raise DataError(f"{folder}: its tokenizer is not GPT-2's kind of BPE. Convert the model with llama.cpp.")
    words = {number: word for word, number in model["vocab"].items()}
    kinds = dict.fromkeys(words, TokenType.NORMAL)
    for added in tokenizer.get("added_tokens") or ():
        words[added["id"]] = added["content"]
        kinds[added["id"]] = TokenType.CONTROL if added.get("special") else TokenType.USER_DEFINED
    numbers = range(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([words.get(number, f"[PAD{number}]") for number in numbers])
    writer.add_token_types([kinds.get(number, TokenType.UNUSED) for number in numbers])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_token_merges(merges)
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    end = config["eos_token_id"]
    writer.add_eos_token_id(end[0] if isinstance(end, list) else end)
    writer.add_add_bos_token(False)


def _tensors(folder: Path) -> list[tuple[str, Any]]:
    from safetensors.torch import load_file

    found = [pair for file in sorted(folder.glob("*.safetensors")) for pair in load_file(file).items()]
    return [(name.removesuffix(".weight"), tensor) for name, tensor in found]


def _gguf_name(name: str) -> str:
    if name in _WHOLE:
        return f"{_WHOLE[name]}.weight"
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.weight"


def _as_llama_cpp_wants(name: str, tensor: Any, config: dict[str, Any]) -> Any:
    """Queries and keys with the two halves of each rotated pair side by side; everything else as it is."""
    if not name.endswith(("q_proj", "k_proj")):
        return tensor
    heads = config["num_attention_heads" if name.endswith("q_proj") else "num_key_value_heads"]
    rows, columns = tensor.shape
    return tensor.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def _add_tensor(writer: Any, name: str, tensor: Any, dtype: str) -> None:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType

    if dtype == "float32" or tensor.dim() == 1:
        writer.add_tensor(name, tensor.to(torch.float32).contiguous().numpy())
        return
    bits = tensor.to(torch.bfloat16).contiguous().view(torch.int16).numpy()
    writer.add_tensor(
        name,
        bits.view(np.uint8),
        raw_shape=(*tensor.shape[:-1], 2 * tensor.shape[-1]),
        raw_dtype=GGMLQuantizationType.BF16,
    )
