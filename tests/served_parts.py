"""A small server that speaks the part of vLLM's protocol that is used, a real model behind it.

It computes with plain transformers and reads adapters as PEFT's form says, so that what it
answers owes nothing to the code that is tested. Faults are injected by name: `faults` are
met one a completion, `always` by every one. Adapters are forgotten when it ends, as vLLM's.

    python served_parts.py MODEL DIES_AFTER     # SIGKILL in mid-answer, and again; 0: never
"""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

BASE = "micro"


class Engine:
    """A model, its adapters by name, and greedy or seeded draws from them."""

    def __init__(self, folder: Path) -> None:
        self.base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.models: dict[str, Any] = {BASE: self.base}
        self.paths: dict[str, str] = {}
        self.lock = threading.Lock()

    def load(self, name: str, folder: Path) -> None:
        model = copy.deepcopy(self.base)
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
        downs = [key for key in tensors if key.endswith(".lora_A.weight")]
        assert config["peft_type"] == "LORA"
        assert len(tensors) == 2 * len(downs)
        for key in downs:
            place = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            assert place.rpartition(".")[2] in config["target_modules"]
            up = tensors[key.replace("lora_A", "lora_B")]
            assert tensors[key].shape[0] == up.shape[1] == config["r"]
            change = config["lora_alpha"] / config["r"] * up.float() @ tensors[key].float()
            with torch.no_grad():
                model.get_submodule(place).weight += change
        self.models[name], self.paths[name] = model, str(folder)

    def unload(self, name: str) -> None:
        del self.models[name], self.paths[name]

    @torch.inference_mode()
    def logits(self, name: str, ids: list[int]) -> torch.Tensor:
        found: torch.Tensor = self.models[name](torch.tensor([ids])).logits[0].float()
        return found

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            prompt, name = list(body["prompt"]), body["model"]
            generator = torch.Generator().manual_seed(body["seed"])
            ids: list[int] = []
            logprobs: list[float] = []
            finish = "length"
            while len(ids) < body["max_tokens"] and finish == "length":
                raw = self.logits(name, prompt + ids)[-1]
                token = _draw(raw, body, generator)
                ids.append(token)
                logprobs.append(float(torch.log_softmax(raw, -1)[token]))
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                ended = token in (*body["stop_token_ids"], self.tokenizer.eos_token_id)
                if ended or any(stop in text for stop in body["stop"]):
                    finish = "stop"
            choice = {
                "index": 0,
                "finish_reason": finish,
                "token_ids": ids,
                "prompt_token_ids": prompt,
                "logprobs": {"token_logprobs": logprobs},
                "prompt_logprobs": None,
            }
            if body.get("prompt_logprobs") is not None:
                choice["prompt_logprobs"] = self._scored(name, prompt)
            usage = {"prompt_tokens": len(prompt), "completion_tokens": len(ids)}
            return {"model": name, "choices": [choice], "usage": usage}

    def _scored(self, name: str, prompt: list[int]) -> list[Any]:
        table = torch.log_softmax(self.logits(name, prompt)[:-1], -1)
        told: list[Any] = [None]
        for row, token in zip(table, prompt[1:], strict=True):
            rank = int((row > row[token]).sum()) + 1
            told.append({str(token): {"logprob": float(row[token]), "rank": rank}})
        return told


def _draw(raw: torch.Tensor, body: dict[str, Any], generator: torch.Generator) -> int:
    logits = raw.clone()
    for token, bias in body.get("logit_bias", {}).items():
        logits[int(token)] += bias
    if body.get("allowed_token_ids"):
        only = torch.full_like(logits, float("-inf"))
        only[body["allowed_token_ids"]] = logits[body["allowed_token_ids"]]
        logits = only
    if body["temperature"] == 0:
        return int(logits.argmax())
    chances = torch.softmax(logits.double() / body["temperature"], -1)
    return int(torch.multinomial(chances, 1, generator=generator))


def spoil(fault: str, answer: dict[str, Any]) -> None:
    """Make one thing about an answer wrong."""
    choice = answer["choices"][0]
    if fault == "another model":
        answer["model"] = BASE + "-other"
    elif fault == "no ids":
        del choice["token_ids"]
    elif fault == "ids out of range":
        choice["token_ids"] = [10**6 for _ in choice["token_ids"]]
    elif fault == "no log-probabilities":
        choice["logprobs"] = None
        choice["prompt_logprobs"] = None
    elif fault == "one log-probability short":
        choice["logprobs"]["token_logprobs"].pop()
        choice["prompt_logprobs"] = (choice["prompt_logprobs"] or [0])[1:]
    elif fault == "not a number":
        choice["logprobs"]["token_logprobs"][0] = float("nan")
        for entry in (choice["prompt_logprobs"] or [None])[1:]:
            for value in entry.values():
                value["logprob"] = float("nan")
    elif fault == "another prompt":
        choice["prompt_token_ids"] = [0, *choice["prompt_token_ids"]]
    elif fault == "aborted":
        choice["finish_reason"] = "abort"
        choice["prompt_logprobs"] = None
    else:
        raise AssertionError(fault)


SPOILT = (
    "another model",
    "no ids",
    "ids out of range",
    "no log-probabilities",
    "one log-probability short",
    "not a number",
    "another prompt",
    "aborted",
)


class Served(ThreadingHTTPServer):
    """The server; `asked` holds every completion's body."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, engine: Engine, listening: socket.socket | None = None, dies_after: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket, self.server_port = listening, listening.getsockname()[1]
        self.engine, self.dies_after = engine, dies_after
        self.faults: deque[str] = deque()
        self.always = ""
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Served

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        engine = self.server.engine
        if self.path == "/v1/models":
            cards: list[dict[str, Any]] = [{"id": BASE, "parent": None, "max_model_len": 512}]
            cards += [{"id": n, "parent": BASE, "root": p} for n, p in engine.paths.items()]
            return self._answer(200, {"data": cards})
        if self.path == "/version":
            return self._answer(200, {"version": "0"})
        return self._answer(404 if self.path != "/health" else 200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        engine = self.server.engine
        if self.path == "/v1/load_lora_adapter":
            engine.load(body["lora_name"], Path(body["lora_path"]))
            return self._answer(200, {})
        if self.path == "/v1/unload_lora_adapter":
            engine.unload(body["lora_name"])
            return self._answer(200, {})
        return self._complete(body)

    def _complete(self, body: dict[str, Any]) -> None:
        server = self.server
        server.asked.append(body)
        fault = server.faults.popleft() if server.faults else server.always
        if server.dies_after and len(server.asked) >= server.dies_after:
            fault = "killed"
        if fault == "forgets" and body["model"] != BASE:
            for name in list(server.engine.paths):
                server.engine.unload(name)
        if body["model"] not in server.engine.models:
            why = f"The model `{body['model']}` does not exist."
            return self._answer(404, {"error": {"message": why, "type": "NotFoundError"}})
        if fault.isdigit():
            return self._answer(int(fault), {"error": {"message": "injected"}})
        answer = server.engine.complete(body)
        if fault == "processed" and body.get("allowed_token_ids"):
            answer["choices"][0]["logprobs"]["token_logprobs"] = [0.0]
        if fault in SPOILT:
            spoil(fault, answer)
        return self._answer(200, answer, cut=fault in ("cut short", "killed"))

    def _answer(self, status: int, body: dict[str, Any], *, cut: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut and self.server.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def serving(engine: Engine) -> Iterator[Served]:
    """Serve in a thread of this process."""
    server = Served(engine)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Kept:
    """A journal in memory."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}

    def journal_get(self, keys: Any) -> dict[str, Any]:
        return {key: self.answers[key] for key in keys if key in self.answers}

    def journal_put(self, answers: Any) -> None:
        # Through JSON, as the real one.
        new = json.loads(json.dumps(answers))
        self.answers = {**new, **self.answers}


def serve_until_input_ends(engine: Engine, dies_after: int) -> None:
    """Serve in a forked process, and in another whenever one was killed; say so each time.

    The port is said first, and held all the time, so that nobody else can take it meanwhile.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    while True:
        child = os.fork()
        if child == 0:
            served = Served(engine, listening, dies_after)
            threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
            served.serve_forever()
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return
        print("killed", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve_until_input_ends(Engine(Path(sys.argv[1])), int(sys.argv[2]))
