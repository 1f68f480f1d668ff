"""Makes tests/models/hf: tiny untrained checkpoints of Llama and GPT-2 as `transformers` saves them, with its own logits.

    pip install -r tools/train/requirements.txt && python tools/train/tiny_checkpoints.py

Weights are random and large enough to move every part. `framework.npz` holds 200 tokens as `x`, the logits after each of them,
and the output of the first block; `window_logits` are those of layers that see the last WINDOW tokens only, as a ring does.
"""

import json

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from common import ROOT
from text_transformers import windowed

OUT = ROOT / "tests" / "models" / "hf"
TOKENS, WINDOW = 200, 32
NONE = {"bos_token_id": None, "eos_token_id": None}


def llama(**more):
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": False,
    }
    return LlamaForCausalLM(LlamaConfig(**sizes | more, **NONE))


def gpt2(**more):
    sizes = {"vocab_size": 50, "n_positions": 256, "n_embd": 24, "n_layer": 2, "n_head": 2}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return GPT2LMHeadModel(GPT2Config(**sizes | more, **quiet, **NONE))


# Each in the shape that most checkpoints have, and with what others do otherwise.
MODELS = {
    "llama": lambda: llama(),
    "llama_tied": lambda: llama(
        tie_word_embeddings=True,
        attention_bias=True,
        mlp_bias=True,
        head_dim=12,
        num_key_value_heads=1,
        num_hidden_layers=1,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    ),
    "gpt2": lambda: gpt2(),
    "gpt2_relu": lambda: gpt2(activation_function="relu", n_inner=48, n_layer=1, n_head=2, tie_word_embeddings=False),
}


def randomize(model, generator):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:  # gains about 1, biases about 0
                p.copy_(torch.randn(p.shape, generator=generator) * 0.2 + (name.endswith("weight")))
            else:
                # Conv1D of GPT-2 is (inputs, outputs), Linear (outputs, inputs).
                inputs = p.shape[0] if "c_" in name else p.shape[1]
                spread = 0.5 if "wte" in name or "wpe" in name or "embed" in name else 1.2 / inputs**0.5
                p.copy_(torch.randn(p.shape, generator=generator) * spread)


def main():
    torch.set_num_threads(1)
    for seed, (name, build) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(seed)
        model = build().eval()
        randomize(model, generator)
        model.save_pretrained(OUT / name)
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        saved = type(model).from_pretrained(OUT / name).eval()
        x = torch.randint(saved.config.vocab_size, (1, TOKENS), generator=generator)
        with torch.no_grad():
            answer = saved(input_ids=x, output_hidden_states=True, use_cache=False)
            window = windowed(saved, WINDOW)(x)[0]
        np.savez_compressed(
            OUT / name / "framework.npz",
            x=x.T.numpy().astype(np.int16),
            lengths=[TOKENS],
            logits=answer.logits[0].numpy(),
            block=answer.hidden_states[1][0].numpy(),
            window_logits=window.numpy(),
            window=WINDOW,
        )
        print(name, sum(p.numel() for p in saved.parameters()), float(answer.logits.std()))
    # As transformers 4 wrote it, in 16-bit floats.
    state = load_file(OUT / "llama" / "model.safetensors")
    half = OUT / "llama_bf16"
    half.mkdir(exist_ok=True)
    config = json.loads((OUT / "llama" / "config.json").read_text())
    rope = config.pop("rope_parameters")
    del config["dtype"]
    config |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": None,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0",
    }
    (half / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file({k: v.bfloat16() for k, v in state.items()}, half / "model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    main()
