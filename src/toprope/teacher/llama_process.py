"""The child process of `TeacherServer`: llama.cpp's server, ended by the end of its input.

Runs as `python -m toprope.teacher.llama_process SETTINGS`. It knows nothing of tasks.
"""

from __future__ import annotations

import json
import os
import sys

import xllamacpp


def build() -> str:
    """The server's build: the version of the wheel that holds llama.cpp."""
    return f"xllamacpp-{xllamacpp.__version__}"


def main() -> None:
    """Serve until standard input closes, which it does when the parent is gone."""
    settings = json.loads(sys.argv[1])
    name = os.path.basename(settings["model"]).removesuffix(".gguf")
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {name}
    params.model_tags = {f"server={build()}", f"sha256={settings['gguf_sha256']}"}
    params.hostnames = ["127.0.0.1"]
    params.port = settings["port"]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"]
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cont_batching = True
    params.verbosity = 0
    params.ui = False
    params.cache_ram_mib = 0
    # Answers nearly copy their prompts: drafts from the prompt save a fifth of the time.
    kinds = xllamacpp.common_speculative_type
    params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    # llama.cpp's threads may be in the middle of a batch; there is nothing to save.
    os._exit(0)


if __name__ == "__main__":
    main()
