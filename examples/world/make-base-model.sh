#!/usr/bin/env bash
# Makes the demo's base model from nothing: world -> tokenizer and random weights -> pre-training -> chat.
#   make-base-model.sh TRAINER_BIN OUT
# TRAINER_BIN is the bin folder of an environment made from ../environments/trainer.txt.
# TEXTS and DIALOGUES set the amount of data (defaults 4000 and 12000: 5 to 6 minutes of one core).
# One thread and fixed seeds: the same machine repeats the bytes; another kind of CPU gives other bytes and the same abilities.
set -euo pipefail
[ $# = 2 ] || { sed -n '2,3p' "$0" | cut -c3-; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'code=$?; if [ $code = 0 ]; then rm -rf "$work"; else tail -n 25 "$work"/*.log >&2; echo "failed; the work folder stays: $work" >&2; fi' EXIT
cd "$work"
# A home of its own: LLaMA-Factory's data cache would otherwise stay behind in the user's.
export HOME="$work" HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1

step() { # NAME COMMAND...
    local start=$SECONDS name=$1
    shift
    "$@" >"$name.log" 2>&1
    echo "$name: $((SECONDS - start)) s"
}
step world "$bin/python" "$here/generate.py" world data --texts "${TEXTS:-4000}" --dialogues "${DIALOGUES:-12000}"
step model "$bin/python" "$here/make_model.py" data random
step pretrain "$bin/llamafactory-cli" train "$here/pretrain.yaml"
step chat "$bin/llamafactory-cli" train "$here/chat.yaml"

# The weights from the end of training, the tokenizer as it was made: training does not change it, but LLaMA-Factory
# writes its own settings (padding side and the like) into the copy.
cp base/config.json base/model.safetensors random/generation_config.json random/tokenizer.json random/tokenizer_config.json random/chat_template.jinja "$out"
(cd "$out" && sha256sum config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json chat_template.jinja)
