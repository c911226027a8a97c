#!/usr/bin/env python3
"""Stands in for LLaMA-Factory, the evaluation and vLLM where a test is about the portal around them, and must be quick.

Installed twice in one folder, as `llamafactory-cli` and as `python`: the portal's task starts it as it starts the real ones, and
finds the same files in the same places. Every start is noted in the file `starts` beside it, so that a test can count them.
The real ones run in the other tests.
"""
import http.server
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 40
PACE = float(open(os.path.join(HERE, "pace")).read()) if os.path.exists(os.path.join(HERE, "pace")) else 0.08  # seconds a step
WEIGHTS = int(open(os.path.join(HERE, "weights")).read()) if os.path.exists(os.path.join(HERE, "weights")) else 1  # numbers in the adapter


def note(what):
    with open(os.path.join(HERE, "starts"), "a", encoding="utf-8") as f:
        f.write(f"{what} {os.getpid()}\n")


def train(job_file):
    note("train")
    with open(job_file, encoding="utf-8") as f:
        job = json.load(f)
    out = job["output_dir"]
    time.sleep(8 * PACE)  # what imports take in the real one
    os.makedirs(out)
    losses = []
    for step in range(1, STEPS + 1):
        time.sleep(PACE)
        print(f"trained step {step:03} of {STEPS}", flush=True)
        losses.append(2.0 * 0.95**step)
        figures = {"current_steps": step, "total_steps": STEPS, "loss": losses[-1], "lr": 0.001 * (1 - step / STEPS), "epoch": step / 10,
                   "percentage": 100 * step / STEPS, "elapsed_time": "0:00:01", "remaining_time": "0:00:01", "throughput": 1000.5, "total_tokens": 100 * step}
        with open(os.path.join(out, "trainer_log.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(figures) + "\n")
            if step % 10 == 0 and job.get("eval_dataset"):
                f.write(json.dumps({"current_steps": step, "total_steps": STEPS, "eval_loss": losses[-1] + 0.1, "epoch": step / 10}) + "\n")
    tensors = {"base_model.model.lora_A.weight": {"dtype": "F32", "shape": [WEIGHTS], "data_offsets": [0, 4 * WEIGHTS]}}
    head = json.dumps(tensors).encode()
    with open(os.path.join(out, "adapter_model.safetensors"), "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head)
        f.truncate(f.tell() + 4 * WEIGHTS)
    put(out, "adapter_config.json", {"base_model_name_or_path": job["model_name_or_path"], "peft_type": "LORA", "r": job["lora_rank"],
                                     "lora_alpha": job["lora_alpha"], "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"})
    results = {"epoch": 4.0, "train_loss": sum(losses) / len(losses), "train_runtime": STEPS * PACE, "total_flos": 1.0, "num_input_tokens_seen": 100 * STEPS}
    put(out, "train_results.json", results)
    put(out, "all_results.json", results)
    put(out, "eval_results.json", {"epoch": 4.0, "eval_loss": losses[-1] + 0.1})
    put(out, "trainer_state.json", {"global_step": STEPS, "log_history": [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]})


def put(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f)


def evaluate(spec_file):
    note("evaluate")
    with open(spec_file, encoding="utf-8") as f:
        spec = json.load(f)
    with open(spec["rows"], encoding="utf-8") as f:
        rows = [json.loads(line)["messages"] for line in f if line.strip()]
    for phase in ("base", "tuned"):
        for done in range(0, len(rows) + 1, 4):
            time.sleep(PACE / 2)
            print(json.dumps({"done": done, "total": len(rows), "phase": phase}), flush=True)
    with open(spec["output"], "w", encoding="utf-8") as f:
        for i, messages in enumerate(rows):
            right = messages[-1]["content"]
            f.write(json.dumps({"row": i, "prompt": messages[:-1], "expected": right, "base": "I do not know that.", "tuned": right}) + "\n")


class ModelServer(http.server.BaseHTTPRequestHandler):
    """As much of vLLM's OpenAI server as the portal uses; an answer names the model that gave it."""

    protocol_version = "HTTP/1.1"
    models = []
    # Calls that are being answered.
    running = 0
    counting = threading.Lock()

    def counted(self, n):
        with ModelServer.counting:
            ModelServer.running += n

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/v1/models":
            self.answer({"object": "list", "data": [{"id": m, "object": "model", "created": 1, "owned_by": "standin"} for m in self.models]})
        elif self.path in ("/health", "/ping", "/version"):
            self.answer({"version": "stand-in"})
        elif self.path == "/metrics":
            figures = f'vllm:num_requests_running{{engine="0"}} {ModelServer.running}.0\nvllm:num_requests_waiting{{engine="0"}} 0.0\n'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(figures)))
            self.end_headers()
            self.wfile.write(figures)
        else:
            self.answer({"error": {"message": "not here"}}, 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path == "/v1/load_lora_adapter":
            if not os.path.exists(os.path.join(asked["lora_path"], "adapter_config.json")):
                return self.answer({"error": {"message": "no adapter at " + asked["lora_path"]}}, 404)
            if asked["lora_name"] not in self.models:
                self.models.append(asked["lora_name"])
            return self.answer({"done": True})
        if self.path == "/v1/unload_lora_adapter":
            if asked["lora_name"] in self.models:
                self.models.remove(asked["lora_name"])
            return self.answer({"done": True})
        if self.path not in ("/v1/chat/completions", "/v1/completions"):
            return self.answer({"error": {"message": "not here"}}, 404)
        if asked["model"] not in self.models:
            return self.answer({"object": "error", "message": f"The model `{asked['model']}` does not exist.", "type": "NotFoundError", "code": 404}, 404)
        self.counted(1)
        try:
            self.complete(asked)
        finally:
            self.counted(-1)

    def complete(self, asked):
        text = f"answered by {asked['model']}"
        said = asked["messages"][-1]["content"] if asked.get("messages") else ""
        # As long as a short answer of a real one takes.
        pause = 0.05 if said == "in a moment" else 0
        text += " word" * 7 if pause else ""
        if said.startswith("counted "):
            with open(os.path.join(HERE, "served"), "a", encoding="utf-8") as f:
                f.write(f"{time.time()} {said[8:]}\n")
            # A stream that is open while replicas come and go.
            pause, text = (0.1, text + " word" * 20) if asked.get("stream") else (0, text)
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        if not asked.get("stream"):
            time.sleep(10 * pause)
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            if "messages" not in asked:
                choice = {"index": 0, "text": text, "finish_reason": "length"}
            return self.answer({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
        if said == "slowly":
            # Longer than any shutdown waits.
            text = "more " * 6000
        for word in text.split(" "):
            time.sleep(0.05 if len(text) > 1000 else pause)
            self.say(common | {"choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]})
        self.say(common | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            self.say(common | {"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def say(self, chunk):
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()


def serve(arguments):
    note("serve")

    def after(flag, default=None):
        for i, a in enumerate(arguments):
            if a == flag:
                return arguments[i + 1]
            if a.startswith(flag + "="):
                return a.split("=", 1)[1]
        return default

    config = after("--config")
    if config:
        sys.exit("this stand-in reads flags only")
    ModelServer.models = [after("--served-model-name") or after("--model")]
    time.sleep(4 * PACE)
    server = http.server.ThreadingHTTPServer((after("--host", "127.0.0.1"), int(after("--port"))), ModelServer)
    server.daemon_threads = True
    server.serve_forever()


def main():
    a = sys.argv[1:]
    if os.path.basename(sys.argv[0]) == "llamafactory-cli":
        train(a[a.index("train") + 1])
    elif a[:1] == ["-c"]:
        exec(a[1], {"__name__": "__main__"})
    elif "-m" in a and a[a.index("-m") + 1].startswith("vllm"):
        serve(a)
    else:
        script = next(i for i, x in enumerate(a) if x.endswith("evaluate.py"))
        evaluate(a[script + 1])


main()
