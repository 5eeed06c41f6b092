"""Rebuild the default taskset from its pinned source packages; prints what it gave and why.

python scripts/build_taskset.py                      # everything, to the shipped file
python scripts/build_taskset.py --packages toolz,boltons --out /tmp/some.jsonl.xz
"""

from __future__ import annotations

import argparse
from pathlib import Path

from toprope.forge.build import build
from toprope.forge.packages import read_manifest
from toprope.forge.summary import summary

DATA = Path(__file__).parents[1] / "src" / "toprope" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, default=DATA / "sources.toml")
    parser.add_argument("--out", type=Path, default=DATA / "default.jsonl.xz")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "toprope" / "forge")
    parser.add_argument("--packages", default="", help="only these, comma-separated")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="ignore earlier harvests")
    options = parser.parse_args()
    wanted = {name for name in options.packages.split(",") if name}
    packages = [p for p in read_manifest(options.manifest) if not wanted or p.name in wanted]
    built = build(packages, options.cache, options.out, jobs=options.jobs, fresh=options.fresh)
    for line in summary(built):
        print(line)


if __name__ == "__main__":
    main()
