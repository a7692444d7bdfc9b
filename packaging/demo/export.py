#!/usr/bin/python3
"""Writes the demo model as GGUF, from a checkpoint or from the shipped file.

    export.py --checkpoint build-demo/checkpoint.pt --type q8_0 -o FILE
    export.py --from shoal-demo-q8_0.gguf --type f32 -o FILE

The norms stay F32, every matrix gets the type.  Re-exporting as q8_0 gives
the same bytes; the other types are made from the rounded Q8_0 weights.
"""

import argparse
import os

import gguf

CONTROL, NORMAL = 3, 1

# What train.py teaches: a request and an empty line before the story, each
# story between bos and eos.  Other roles than these two were never seen.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ message['content'] }}{{ '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}{{ bos_token }}"
    "{% endif %}{% endfor %}")


def from_checkpoint(path):
    """(metadata, {name: float32 array}) of what train.py saved."""
    import torch  # Only here: re-exporting needs numpy alone.

    from tokenizer import Tokenizer
    state = torch.load(path, map_location="cpu")
    tokenizer = Tokenizer.load(os.path.join(os.path.dirname(path), "tokenizer.json"))
    shape = state["shape"]
    metadata = {
        "general.architecture": "llama",
        "general.name": "Shoal demo",
        "general.license": "mit",
        "general.file_type": 0,
        "general.quantization_version": 2,
        "general.alignment": gguf.ALIGNMENT,
        "llama.context_length": shape["context"],
        "llama.embedding_length": shape["width"],
        "llama.block_count": shape["layers"],
        "llama.feed_forward_length": shape["ffn"],
        "llama.attention.head_count": shape["heads"],
        "llama.attention.head_count_kv": shape["kv_heads"],
        "llama.attention.layer_norm_rms_epsilon": shape["norm_eps"],
        "llama.rope.dimension_count": shape["head_dim"],
        "llama.rope.freq_base": shape["rope_base"],
        "llama.vocab_size": shape["vocab"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokenizer.tokens,
        "tokenizer.ggml.token_type": [CONTROL if i in (tokenizer.bos, tokenizer.eos) else NORMAL
                                      for i in range(len(tokenizer.tokens))],
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": tokenizer.bos,
        "tokenizer.ggml.eos_token_id": tokenizer.eos,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    return metadata, {name: tensor.float().numpy() for name, tensor in state["model"].items()}


def from_gguf(path):
    metadata, tensors = gguf.read(path)
    return metadata, {name: array for name, (array, _) in tensors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", help="made by train.py; its tokenizer.json lies beside it")
    source.add_argument("--from", dest="gguf", help="a GGUF file made by this script")
    parser.add_argument("--type", choices=gguf.TYPES, default="q8_0")
    parser.add_argument("--untie", action="store_true", help="also write the embedding as output.weight")
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    metadata, weights = from_checkpoint(args.checkpoint) if args.checkpoint else from_gguf(args.gguf)
    metadata["general.file_type"] = gguf.TYPES[args.type][1]
    if args.untie:
        weights["output.weight"] = weights["token_embd.weight"]
    gguf.write(args.output, metadata, [(name, array, args.type if array.ndim == 2 else "f32")
                                       for name, array in weights.items()])
    print(f"{args.output}: {len(weights)} tensors, {os.path.getsize(args.output)} bytes")


if __name__ == "__main__":
    main()
