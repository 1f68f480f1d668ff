"""Makes tests/models/huggingface: tiny untrained checkpoints as `transformers` saves them, with its own outputs.

    pip install -r tools/train/requirements.txt && python tools/train/hf_zoo.py

A folder each: `config.json`, `model.safetensors`, perhaps a vocabulary, and `golden.npz`: `x`, the tokens of two sequences
after one another, `lengths`, and `y0`, the logits, which are computed in 64-bit floats.
"""

import json
import shutil
import zlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from common import ROOT

OUT = ROOT / "tests" / "models" / "huggingface"
BATCH, STEPS = 2, 20


def save(name, model, characters=None):
    """Weights by the model's name, large enough that attention chooses."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(p.new_empty(p.shape).normal_(1.0 if "norm" in key or "ln_" in key else 0.0, 0.4, generator=random))
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    symbols = model.config.vocab_size
    x = torch.tensor([[(t * (3 + k) + t * t + k) % symbols for t in range(STEPS)] for k in range(BATCH)])
    with torch.no_grad():
        y = model.double().eval()(x).logits
    np.savez_compressed(
        folder / "golden.npz", x=x.reshape(-1, 1).numpy().astype(np.float32), lengths=np.full(BATCH, STEPS), y0=y.reshape(-1, symbols).numpy()
    )
    if characters:
        (folder / "vocab.json").write_text(json.dumps({c: k for k, c in enumerate(characters)}, indent=1))


def change(name, config=lambda c: None, tensors=lambda t: t):
    """What older versions wrote otherwise."""
    path = OUT / name / "config.json"
    value = json.loads(path.read_text())
    config(value)
    path.write_text(json.dumps(value, indent=2))
    path = OUT / name / "model.safetensors"
    save_file(tensors(load_file(path)), path, {"format": "pt"})


def gpt2(**more):
    return GPT2LMHeadModel(GPT2Config(vocab_size=9, n_positions=24, n_embd=16, n_layer=2, n_head=4, **more))


def llama(**more):
    options = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    return LlamaForCausalLM(LlamaConfig(vocab_size=9, max_position_embeddings=32, **options, **more))


def main():
    save("gpt2", gpt2(), ["Ċ", "Ġ", "a", "b", "c", "d", "e", "<|endoftext|>", "é"])

    save("gpt2_own_head", gpt2(n_inner=20, activation_function="gelu", scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False))

    save("gpt2_bare", gpt2())

    def bare(tensors):
        """As the first checkpoint was: no prefix, and the mask beside the weights."""
        tensors = {key.removeprefix("transformer."): t for key, t in tensors.items()}
        for k in range(2):
            tensors[f"h.{k}.attn.bias"] = torch.ones(24, 24).tril()[None, None]
        return tensors

    change("gpt2_bare", tensors=bare)

    save("llama", llama(head_dim=8, rope_theta=5000.0))

    save("llama_tied", llama(attention_bias=True, mlp_bias=True, tie_word_embeddings=True, hidden_act="gelu"))

    def before_5(config):
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        config["rope_scaling"] = None

    change("llama_tied", before_5)

    options = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1)
    save("mistral", MistralForCausalLM(MistralConfig(vocab_size=9, max_position_embeddings=32, sliding_window=5, **options)))


if __name__ == "__main__":
    main()
