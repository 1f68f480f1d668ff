"""Trains the other bodies of tests/models/text: transformers of the architectures of Llama and GPT-2, by `transformers`.

    pip install -r tools/train/requirements.txt && python tools/train/text_transformers.py [llama|gpt2]

Each is a folder as `save_pretrained` leaves it. The Llama sees the last 64 characters in each layer (rotary positions have no
end). The GPT-2, which is trained only if it is asked for, has learned positions for 128 characters and is judged on stretches
that are so long.
"""

import json
import math
import sys

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from text import LENGTH, OUT, WINDOW, band, bits, note, parts, quoted, train


def llama(characters):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=characters,
            hidden_size=48,
            intermediate_size=116,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=WINDOW,
            rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
            bos_token_id=None,
            eos_token_id=None,
            tie_word_embeddings=False,
        )
    )


def gpt2(characters):
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=characters,
            n_positions=LENGTH,
            n_embd=48,
            n_layer=2,
            n_head=4,
            n_inner=128,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
            tie_word_embeddings=False,
        )
    )


def windowed(model, window=WINDOW):
    """Logits of a model whose layers see the last `window` entries, as a ring of so many does."""

    def run(x):
        shut = torch.zeros(x.shape[1], x.shape[1]).masked_fill(~band(x.shape[1], window), torch.finfo(torch.float32).min)
        return model(input_ids=x, attention_mask=shut[None, None], use_cache=False).logits

    return run


@torch.no_grad()
def bits_of_stretches(model, data):
    """Bits per character of stretches of LENGTH one after the other, each from an empty memory."""
    count = (len(data) - 1) // LENGTH
    x = data[: count * LENGTH].view(count, LENGTH)
    y = data[1 : count * LENGTH + 1].view(count, LENGTH)
    each = [
        nn.functional.cross_entropy(model(input_ids=a).logits.flatten(0, 1), b.flatten())
        for a, b in zip(x.split(64), y.split(64))
    ]
    weights = [len(a) for a in x.split(64)]
    return float(np.average([e.item() for e in each], weights=weights)) / math.log(2)


def main():
    torch.set_num_threads(1)
    known, held_out, characters = parts()
    for name in sys.argv[1:] or ("llama",):
        torch.manual_seed(6)
        model = {"llama": llama, "gpt2": gpt2}[name](len(characters))
        model.config._attn_implementation = "sdpa"
        # Both train as they are used: the one by a window, the other from the start of a stretch.
        logits_of = windowed(model) if name == "llama" else lambda x: model(input_ids=x, use_cache=False).logits
        train(model, logits_of, known, torch.Generator().manual_seed(6), 6e-3)
        model.eval()
        figures = {"parameters": sum(p.numel() for p in model.parameters())}
        if name == "llama":
            before = model.config.num_hidden_layers * (WINDOW - 1)
            figures["bits_per_character"] = bits(logits_of, held_out, before)
            figures["of_test_npz"] = bits(logits_of, held_out[:20001], before)
            figures["characters"] = len(held_out) - 1
        else:
            figures["bits_per_character_of_stretches"] = bits_of_stretches(model, held_out)
            figures["characters"] = (len(held_out) - 1) // LENGTH * LENGTH
        figures["text"] = continue_text(logits_of, characters)
        note(name, figures)
        model.save_pretrained(OUT / name)
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        length = 500 if name == "llama" else LENGTH
        with torch.no_grad():
            logits = logits_of(held_out[None, :length])[0].numpy()
        np.savez_compressed(OUT / f"{name}_framework.npz", logits=logits)
        window = f"memory = {WINDOW if name == 'llama' else LENGTH}\n"
        (OUT / f"{name}.toml").write_text(
            "# A sample is a character's place among the labels; the answer is the character that follows.\n"
            f"{window}labels = [{quoted(characters)}]\n"
        )


@torch.no_grad()
def continue_text(logits_of, characters, prompt="The whale ", count=100):
    """What the model makes of a prompt, always by its likeliest character."""
    x = [characters.index(c) for c in prompt]
    for _ in range(count):
        x.append(int(logits_of(torch.tensor([x[-LENGTH:]]))[0, -1].argmax()))
    return "".join(characters[k] for k in x)


if __name__ == "__main__":
    main()
