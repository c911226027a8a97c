"""Prints the settings that the installed LLaMA-Factory takes in a training file, as JSON, one line a key.

    TRAINER/bin/python crates/domain/settings/read_trainer.py > crates/domain/settings/trainer.json

Read from the trainer's own argument classes, so that nobody copies them by hand. A new version of the trainer is a new file and
a diff to review; `crates/task/tests/settings_catalogue.rs` fails while the committed file is not what this prints.
"""

import dataclasses
import enum
import importlib.metadata
import json
import re
import types
import typing

from llamafactory.hparams import parser

# Which fine-tuning methods a class of arguments is for; a class that is not named here is for all.
METHODS = {
    "LoraArguments": ["lora"],
    "OFTArguments": ["oft"],
    "FreezeArguments": ["freeze"],
    "GaloreArguments": ["freeze", "full"],
    "ApolloArguments": ["freeze", "full"],
    "BAdamArgument": ["freeze", "full"],
}
# Keys whose class says less than the trainer's code does.
METHODS_OF_KEYS = {
    "additional_target": ["lora", "oft"],
    "create_new_adapter": ["lora", "oft"],
    "quantization_bit": ["lora", "oft"],
    "adapter_name_or_path": ["lora"],
}
# Stages by the beginning of a key of the class for preferences and rewards, and of keys that the parser ties to a stage.
STAGES = [
    ("ppo_|reward_model", ["ppo"]),
    ("kto_", ["kto"]),
    ("ref_model", ["dpo", "kto", "ppo"]),
    ("pref_beta|pref_ftx", ["dpo", "kto"]),
    ("pref_|dpo_|simpo_|ld_alpha", ["dpo"]),
    ("neat_packing|train_on_prompt|mask_history|compute_accuracy|predict_with_generate", ["sft"]),
    ("use_dft_loss|use_asft_loss|asft_alpha|use_eaft_loss|eaft_alpha", ["sft"]),
]


def options(kind):
    """The alternatives of a type, without None."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return [k for k in (typing.get_args(kind) if union else [kind]) if k is not type(None)]


def sort(kind):
    """One word for a type, and the values that it allows if they are listed."""
    kinds = options(kind)
    for k in kinds:
        if typing.get_origin(k) is typing.Literal and all(isinstance(v, str) for v in typing.get_args(k)):
            return "choice", list(typing.get_args(k))
        if isinstance(k, type) and issubclass(k, enum.Enum):
            return "choice", [member.value for member in k]
    if any(typing.get_origin(k) is list for k in kinds):
        return "list", []
    if any(k is dict or typing.get_origin(k) is dict for k in kinds):
        return "map", []
    for one, word in ((str, "text"), (bool, "bool"), (float, "float"), (int, "int")):
        if one in kinds:
            return word, []
    return "map", []


def default(field):
    if field.default is not dataclasses.MISSING:
        value = field.default
    else:
        value = field.default_factory()
    return value.value if isinstance(value, enum.Enum) else value


def paragraphs(cls):
    """What the docstring of a class says of its fields; where a library keeps the help there and not beside the field."""
    found = {}
    text = re.sub(r"\n {8,}", " ", cls.__doc__ or "")
    for key, said in re.findall(r"^\s*(\w+) \([^\n]*?\):? (.*)$", text, re.M):
        found[key] = said
    return found


def entry(cls, field):
    declared = next(c for c in reversed(cls.__mro__) if field.name in c.__dict__.get("__annotations__", {}))
    kind, choices = sort(field.type)
    listed = field.metadata.get("choices")
    if listed:
        kind, choices = "choice", list(listed)
    said = field.metadata.get("help") or paragraphs(declared).get(field.name, "")
    said = re.sub(r"\s+", " ", said).strip()
    module = declared.__module__.split(".")[0]
    methods = METHODS_OF_KEYS.get(field.name) or METHODS.get(declared.__name__, [])
    stages = next((s for start, s in STAGES if re.match(start, field.name)), [])
    return {
        "key": field.name,
        "kind": kind,
        "optional": type(None) in typing.get_args(field.type),
        "default": default(field),
        "choices": choices,
        "methods": methods,
        "stages": stages,
        "class": f"{module}.{declared.__name__}",
        "help": said,
    }


def main():
    entries = [
        entry(cls, field) for cls in parser._TRAIN_ARGS for field in dataclasses.fields(cls) if field.init
    ]
    versions = {name: importlib.metadata.version(name) for name in ("llamafactory", "transformers")}
    print("{")
    print(f'"trainer": {json.dumps(versions)},')
    print('"keys": [')
    print(",\n".join(json.dumps(e, ensure_ascii=False) for e in entries))
    print("]\n}")


main()
