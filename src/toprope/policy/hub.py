"""Files of a Hugging Face hub repository at one commit, through the hub's own client.

Asks first, briefly, whether the hub can be reached: its client retries for half a minute
on a machine without a network. Knows the hub, not what the files mean.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import httpx

from toprope.policy.packages import Unreachable
from toprope.policy.store import means_full

_REACH_S = 6.0


def download_files(repo: str, revision: str, paths: tuple[str, ...], folder: Path) -> None:
    """Download `paths` of `repo` at commit `revision` into `folder`; `Unreachable` if it cannot."""
    _require_reachable(repo, revision, paths[0])
    from huggingface_hub import hf_hub_download

    for path in paths:
        try:
            hf_hub_download(repo, path, revision=revision, local_dir=folder, endpoint=_endpoint())
        except Exception as error:  # the client's errors share no base class of its own
            if means_full(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Unreachable(f"the hub did not give {repo}/{path}: {reason}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _require_reachable(repo: str, revision: str, path: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise Unreachable("HF_HUB_OFFLINE is set, so the hub is not asked")
    url = f"{_endpoint()}/{repo}/resolve/{revision}/{path}"
    try:
        status = httpx.head(url, timeout=_REACH_S, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        raise Unreachable(f"{_endpoint()} cannot be reached ({error})") from error
    if status >= 400:
        raise Unreachable(f"{_endpoint()} answers {status} for {repo}@{revision[:12]}/{path}")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
