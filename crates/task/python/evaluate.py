"""Asks a base model and its fine-tune the same held-out questions and writes both answers beside the expected one.

    python evaluate.py SPEC.json

SPEC.json: {"base": DIR, "adapter": DIR or null, "tuned": DIR or null, "rows": FILE, "output": FILE,
            "max_new_tokens": 64, "batch_size": 16}

`adapter` is a PEFT adapter on the base, `tuned` a whole fine-tuned model; with neither, only the base answers. `rows` holds
OpenAI messages, one JSON object a line: the last assistant message is the expected answer, all before it is the prompt.
Decoding is greedy, so that the same models give the same answers and a difference is the training's.

`output` gets one object a row, as soon as the row is done:
    {"row": n, "prompt": [messages], "expected": "...", "base": "...", "tuned": "..." or null}
plus "cut": true where the beginning of a prompt had to go because it did not fit the context. `row` counts from 0.
stdout gets one object a batch: {"done": n, "total": m, "phase": "base" or "tuned"}. The base answers all rows first.
A failure is one sentence on stderr and exit code 1. Needs torch, transformers and peft: run it with the trainer's Python.
"""
import json
import os
import sys

# Before the imports that read them: nothing is ever downloaded here, and stderr is for the one sentence.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


class Refused(Exception):
    """What went wrong, as a sentence for the person who started the run."""


def read_spec(path):
    try:
        with open(path, encoding="utf-8") as f:
            spec = json.load(f)
    except (OSError, ValueError) as e:
        raise Refused(f"The evaluation's settings could not be read: {e}.")
    if not isinstance(spec, dict):
        raise Refused("The evaluation's settings must be a JSON object.")
    for key in ("base", "rows", "output"):
        if not isinstance(spec.get(key), str):
            raise Refused(f'The evaluation\'s settings lack "{key}".')
    for key, default in (("max_new_tokens", 64), ("batch_size", 16)):
        number = spec.setdefault(key, default)
        if type(number) is not int or number < 1:
            raise Refused(f'"{key}" must be a whole number of at least 1.')
    if spec.get("adapter") and spec.get("tuned"):
        raise Refused('Give either "adapter" or "tuned", not both.')
    for key, file, what in (("base", "config.json", "base model"), ("tuned", "config.json", "fine-tuned model"), ("adapter", "adapter_config.json", "adapter")):
        if spec.get(key) and not os.path.isfile(os.path.join(spec[key], file)):
            raise Refused(f"The {what} is not complete: {file} is missing in {spec[key]}.")
    # A .bin adapter is a pickle, that is, foreign code.
    if spec.get("adapter") and not os.path.isfile(os.path.join(spec["adapter"], "adapter_model.safetensors")):
        raise Refused(f"The adapter is not complete: adapter_model.safetensors is missing in {spec['adapter']}.")
    return spec


def read_rows(path):
    """-> [(prompt messages, expected answer, tools or None)]"""
    rows = []
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"The held-out rows could not be read: {e}.")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            messages = row["messages"]
            last = max(i for i, m in enumerate(messages) if m["role"] == "assistant")
        except (ValueError, KeyError, TypeError) as e:
            reason = "has no assistant message" if "max()" in str(e) else "is not an object with OpenAI messages"
            raise Refused(f"Line {number} of the held-out rows {reason}.")
        if last == 0:
            raise Refused(f"Line {number} of the held-out rows has no question before its answer.")
        rows.append((messages[:last], messages[last].get("content") or "", row.get("tools")))
    if not rows:
        raise Refused("There are no held-out rows to ask.")
    return rows


def say(**progress):
    print(json.dumps(progress), flush=True)


class Model:
    """A model with its tokenizer, on the GPU where there is one."""

    def __init__(self, folder, what):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
        logging.disable_progress_bar()
        self.torch, self.what = torch, what
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            # Many published tokenizers pad on the right, and generation would then go on after the padding.
            self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", truncation_side="left")
            self.network = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto" if self.device == "cuda" else torch.float32, use_safetensors=True).to(self.device).eval()
        except Exception as e:
            raise Refused(f"The {what} could not be loaded: {first_line(e)}")
        if self.tokenizer.chat_template is None:
            raise Refused(f"The tokenizer of the {what} has no chat template.")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        # Either place may name the end of a turn, and some models name it in one only.
        ends = self.network.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}
        self.ends = sorted(e for e in ends if e is not None)

    def add_adapter(self, folder):
        from peft import PeftModel
        try:
            self.network = PeftModel.from_pretrained(self.network, folder).eval()
        except Exception as e:
            raise Refused(f"The adapter could not be loaded onto the base model: {first_line(e)}")

    def answers(self, rows, spec, phase):
        """Yields (index, answer, prompt was cut) for every row, in order."""
        size, length = spec["batch_size"], spec["max_new_tokens"]
        context = getattr(self.network.config, "max_position_embeddings", None)
        room = context - length if context else None
        if room is not None and room < 1:
            raise Refused(f'"max_new_tokens" ({length}) leaves no room for a prompt: the {self.what} holds {context} tokens.')
        say(done=0, total=len(rows), phase=phase)
        for start in range(0, len(rows), size):
            texts = []
            for i, (prompt, _, tools) in enumerate(rows[start:start + size], start):
                try:
                    texts.append(self.tokenizer.apply_chat_template(prompt, tools=tools, tokenize=False, add_generation_prompt=True))
                except Exception as e:
                    raise Refused(f"The chat template of the {self.what} refuses held-out row {i}: {first_line(e)}")
            # The template has written the special tokens already; a second beginning-of-text token would be noise.
            tokens = self.tokenizer(texts, add_special_tokens=False).input_ids
            cut = [room is not None and len(t) > room for t in tokens]
            batch = self.tokenizer.pad({"input_ids": [t[-room:] if c else t for t, c in zip(tokens, cut)]}, return_tensors="pt").to(self.device)
            with self.torch.inference_mode():
                out = self.network.generate(input_ids=batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=length, do_sample=False,
                                            num_beams=1, temperature=None, top_p=None, top_k=None, eos_token_id=self.ends, pad_token_id=self.tokenizer.pad_token_id)
            for i, line in enumerate(out[:, batch.input_ids.shape[1]:].tolist()):
                stop = next((j for j, t in enumerate(line) if t in self.ends), len(line))
                yield start + i, self.tokenizer.decode(line[:stop], skip_special_tokens=True).strip(), cut[i]
            say(done=min(start + size, len(rows)), total=len(rows), phase=phase)


def first_line(error):
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def evaluate(spec):
    rows = read_rows(spec["rows"])
    try:
        # Opened before the work: a folder that cannot be written to is then known at once.
        output = open(spec["output"], "w", encoding="utf-8")
    except OSError as e:
        raise Refused(f"The evaluation's results cannot be written: {e}.")
    with output:
        model = Model(spec["base"], "base model")
        adapter, tuned = spec.get("adapter"), spec.get("tuned")
        if adapter:
            model.add_adapter(adapter)
            with model.network.disable_adapter():
                base = list(model.answers(rows, spec, "base"))
        else:
            base = list(model.answers(rows, spec, "base"))
        if tuned:
            del model  # one model in memory at a time
            model = Model(tuned, "fine-tuned model")
        after = model.answers(rows, spec, "tuned") if adapter or tuned else ((i, None, False) for i in range(len(rows)))
        # `after` first: it is then asked once more at the end, and prints its last progress line
        for (_, answer, cut_too), (i, before, cut) in zip(after, base):
            prompt, expected, _ = rows[i]
            result = {"row": i, "prompt": prompt, "expected": expected, "base": before, "tuned": answer}
            if cut or cut_too:
                result["cut"] = True
            output.write(json.dumps(result, ensure_ascii=False) + "\n")
            output.flush()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: evaluate.py SPEC.json")
    try:
        evaluate(read_spec(sys.argv[1]))
    except Refused as e:
        sys.exit(str(e))
    except MemoryError:
        sys.exit("The evaluation ran out of memory. Lower the batch size.")
    except Exception as e:
        if type(e).__name__ == "OutOfMemoryError":  # torch's, without importing torch for this line
            sys.exit("The evaluation ran out of GPU memory. Lower the batch size.")
        sys.exit(f"The evaluation failed: {type(e).__name__}: {first_line(e)}")


if __name__ == "__main__":
    main()
