#!/usr/bin/env python3
"""Trains a byte-level BPE tokenizer on the generated world and saves a small Llama model with random weights.

    make_model.py DATA_DIR OUT_DIR

3.9 M parameters: large enough to learn 50 facts by LoRA, small enough to train on two CPU cores and to lie in Git.
"""
import json
import os
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY, CONTEXT = 2048, 512
HIDDEN, LAYERS, HEADS, FEED_FORWARD = 256, 4, 4, 768
END, PAD = "<|im_end|>", "<|endoftext|>"
# ChatML, token for token what LLaMA-Factory's template `qwen3_nothink` trains (no default system message)
CHAT_TEMPLATE = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def texts(data):
    for line in open(os.path.join(data, "world_texts.jsonl"), encoding="utf-8"):
        yield json.loads(line)["text"]
    for line in open(os.path.join(data, "world_dialogues.jsonl"), encoding="utf-8"):
        yield from (m["content"] for m in json.loads(line)["messages"])


def main(data, out):
    bpe = Tokenizer(models.BPE())
    # digits one by one: numbers are then spelt, and a new year or price needs no token of its own
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(texts(data), trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[PAD, "<|im_start|>", END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=None, eos_token=END, pad_token=PAD, chat_template=CHAT_TEMPLATE,
                                        model_max_length=CONTEXT, clean_up_tokenization_spaces=False)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=(len(tokenizer) + 63) // 64 * 64, hidden_size=HIDDEN, intermediate_size=FEED_FORWARD, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=CONTEXT, tie_word_embeddings=True, rope_theta=10000.0,
        bos_token_id=None, eos_token_id=tokenizer.convert_tokens_to_ids(END), pad_token_id=tokenizer.convert_tokens_to_ids(PAD)))
    # no `max_new_tokens` here: vLLM would take it as a limit for every request
    model.generation_config.do_sample = False
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)
    # transformers 5 writes a class name of its own that 4.x, still in many servers, does not know; this one both know
    path = os.path.join(out, "tokenizer_config.json")
    config = json.load(open(path, encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(config, indent=2) + "\n")
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {len(tokenizer)} tokens")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    main(sys.argv[1], sys.argv[2])
