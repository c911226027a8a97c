"""Plays `atelier task` for the controllers' tests: speaks the report protocol, does no training.

What it does is chosen by the run's seed: 13 fails with a verdict, 9 is killed without one, 100 is slow, 200 and 201 wait to be stopped,
14 stores its verdict and dies before saying it, 15 leaves other weights than it says, 16 takes 400 MB, 17 is killed in its first try after it
has stored a checkpoint and goes on from it in the next, every other succeeds. A server crashes at once while CONTROL/crash exists,
an evaluation waits while CONTROL/hold exists and fails while CONTROL/no-evaluation does, 13 and 200 go on to the end while CONTROL/mended exists, and a server dies when CONTROL/die appears.
"""
import json
import os
import signal
import socket
import sys
import time

spec_file = sys.argv[1]
spec = json.load(open(spec_file))
# None: it lies in buckets, for which this script has no client. It only shows which key it was given.
store, work = spec["store"].get("root"), spec["work"]
control = os.environ["CONTROL"]
if store is None:
    with open(os.path.join(os.environ["ATELIER_SECRETS"], "store")) as key, open(os.path.join(control, f"key-{work['tenant']}"), "w") as f:
        f.write(key.read())


def say(**said):
    print(json.dumps({"at": int(time.time() * 1000), **said}), flush=True)


def log(text, level="info"):
    say(kind="log", level=level, text=text)


def phase(name, detail=""):
    say(kind="phase", phase=name, detail=detail)


def put(path, text):
    if store is None:
        return
    path = os.path.join(store, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def end(verdict, code=0):
    put(f"t/{work['tenant']}/runs/{work['run']}/{work['folder']}/verdict.json", json.dumps(verdict))
    if work.get("settings", {}).get("seed") == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    say(kind="verdict", verdict=verdict)
    sys.exit(code)


def stopped(*_):
    if work["kind"] == "serve":
        phase("stopping", "told to stop")
        sys.exit(0)
    end({"outcome": "stopped"})


def wait():
    time.sleep(0.05)
    if not os.path.exists(control):
        # The test is over and took its folder along.
        sys.exit()


def metric(step, total):
    point = {"step": step, "epoch": step / 10, "loss": 2.0 / step, "eval_loss": None, "learning_rate": 1e-3,
             "tokens_per_second": 100.0, "total_tokens": step * 10, "at": int(time.time() * 1000)}
    say(kind="progress", step=step, total_steps=total, metric=point)


def train():
    # Started twice would be seen here.
    with open(os.path.join(control, "starts"), "a") as f:
        f.write(f"training of {work['run']} as {work['folder']}\n")
    seed, total = work["settings"]["seed"], 60 if work["settings"]["seed"] == 100 else 4
    phase("prepare", "fetching inputs")
    log("inputs fetched")
    while seed == 201:
        wait()
    phase("train", "training")
    # Written to, so that they are really taken; not without end, where nothing holds it.
    taken = [b"x" * (4 << 20) for _ in range(100)] if seed == 16 else []
    print("a line that is not of the protocol", flush=True)
    begin, of_checkpoints = 1, f"t/{work['tenant']}/runs/{work['run']}/{{}}/checkpoints"
    if seed == 17 and work.get("earlier"):
        with open(os.path.join(store, of_checkpoints.format(work["earlier"][0]), "2.json")) as f:
            begin = json.load(f)["step"] + 1
        for step in range(1, begin):
            metric(step, total)
        say(kind="resumed", step=begin - 1, total_steps=total)
    for step in range(begin, total + 1):
        log(f"step {step}")
        metric(step, total)
        if seed == 17 and begin == 1 and step == 3:
            put(of_checkpoints.format(work["folder"]) + "/2/optimizer.pt", "moments")
            put(of_checkpoints.format(work["folder"]) + "/2.json", json.dumps({"step": 2}))
            say(kind="checkpoint", step=2)
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 9 and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 13 and step == 2 and not os.path.exists(os.path.join(control, "mended")):
            end({"outcome": "failed", "exit": "exit 1", "cause": "out_of_memory", "sentence": "The memory ran out.",
                 "next_step": "Use a smaller batch.", "evidence": ["torch.OutOfMemoryError"]}, 1)
        while seed == 200 and not os.path.exists(os.path.join(control, "mended")):
            wait()
        if seed == 100:
            wait()
    put(f"t/{work['tenant']}/runs/{work['run']}/{work['folder']}/output/adapter_model.safetensors", "weightS" if seed == 15 else "weights")
    file = {"path": "adapter_model.safetensors", "bytes": 7, "digest": os.environ["DIGEST"]}
    end({"outcome": "succeeded", "files": [file], "results": {"train_loss": 0.25}, "scores": None, "software": {"trainer": "1.2.3"}})


def merge():
    with open(os.path.join(control, "starts"), "a") as f:
        f.write(f"merging of {work['run']} from {work['adapter']}\n")
    phase("merge", "merging")
    output = f"t/{work['tenant']}/runs/{work['run']}/{work['folder']}/output"
    put(output + "/model.safetensors", "weights")
    file = {"path": "model.safetensors", "bytes": 7, "digest": os.environ["DIGEST"]}
    end({"outcome": "succeeded", "files": [file], "results": {}, "scores": None, "software": {}})


def evaluate():
    with open(os.path.join(control, "starts"), "a") as f:
        f.write(f"evaluation of {work['run']} from {work['weights']}\n")
    phase("evaluate", "answering")
    if os.path.exists(os.path.join(control, "no-evaluation")):
        end({"outcome": "failed", "cause": {"code": "evaluation_failed"}, "evidence": ["no room"], "exit": "exit 1"}, 1)
    while os.path.exists(os.path.join(control, "hold")):
        wait()
    rows = [
        {"row": 1, "prompt": "a", "expected": "x", "base": "y", "tuned": "x", "base_right": False, "tuned_right": True},
        {"row": 2, "prompt": "b", "expected": "x", "base": "x", "tuned": "y\x00", "base_right": True, "tuned_right": False},
    ]
    put(f"t/{work['tenant']}/runs/{work['run']}/{work['folder']}/evaluated.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    say(kind="evaluated", done=4, total=4)
    scores = {"rows": 2, "base_right": 1, "tuned_right": 1, "gained": 1, "lost": 1}
    end({"outcome": "succeeded", "files": [], "results": {}, "scores": scores, "software": {}})


def serve():
    with open(os.path.join(control, "starts"), "a") as f:
        f.write(f"{work['endpoint']} rank {work['max_lora_rank']}\n")
    phase("loading", "fetching the weights")
    if os.path.exists(os.path.join(control, "crash")):
        log("no such device", "error")
        sys.exit(3)
    # An address counts when something listens there; nobody calls it.
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    phase("ready", "answers")
    said = None
    while True:
        if os.path.exists(os.path.join(control, "die")):
            os.remove(os.path.join(control, "die"))
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            wanted = json.load(open(os.path.join(os.path.dirname(spec_file), "adapters.json")))["adapters"]
        except FileNotFoundError:
            wanted = []
        names = [a["name"] for a in wanted]
        if names != said:
            say(kind="adapters", loaded=names, failed=[])
            said = names
        wait()


signal.signal(signal.SIGTERM, stopped)
{"train": train, "merge": merge, "evaluate": evaluate, "serve": serve}[work["kind"]]()
