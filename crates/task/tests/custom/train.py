"""A training of somebody's own: transformers and peft, and not a word about the portal. What it needs to know, its environment says."""

import json
import os
import time

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

STEPS = int(os.environ["STEPS"])
base, out = os.environ["ATELIER_BASE_MODEL"], os.environ["ATELIER_OUTPUT"]
tokenizer = AutoTokenizer.from_pretrained(base)
with open(os.environ["ATELIER_TRAIN_FILE"]) as file:
    rows = [" ".join(message["content"] for message in json.loads(line)["messages"]) for line in file]
ids = [tokenizer(row, truncation=True, max_length=64)["input_ids"] for row in rows]


def batch(features):
    import torch

    longest = max(len(f["input_ids"]) for f in features)
    padded = torch.tensor([f["input_ids"] + [0] * (longest - len(f["input_ids"])) for f in features])
    return {"input_ids": padded, "labels": padded.clone()}


class Slow(TrainerCallback):
    """As long as a step of a larger model: progress is posted every five seconds at most."""

    def on_step_end(self, args, state, control, **kwargs):
        time.sleep(float(os.environ["SECONDS_A_STEP"]))


model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
arguments = TrainingArguments(
    output_dir="scratch",
    max_steps=STEPS,
    per_device_train_batch_size=4,
    learning_rate=4e-3,
    logging_steps=1,
    save_strategy="no",
    report_to="none",
    use_cpu=True,
    remove_unused_columns=False,
)
trainer = Trainer(model, arguments, train_dataset=[{"input_ids": i} for i in ids], data_collator=batch, callbacks=[Slow()])
trainer.train()
model.save_pretrained(out)
tokenizer.save_pretrained(out)
