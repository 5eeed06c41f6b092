"""What `probe` found, in words: each wall, what it keeps in, and what raises those that lack.

It must not look at anything itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from toprope.sandbox.engines import ENGINES, Engine
from toprope.sandbox.protocol import Walls

_BOTH = {
    "workspace": "a folder of its own to write in, of limited size, gone with the job",
    "user": "never the host's root",
    "capabilities": "none, and none to regain",
    "no new privileges": "no program that it starts gets more rights",
    "resource limits": "memory, processes, open files and sizes, by the kernel",
    "memory watchdog": "memory of all its processes together, looked at every 20 ms",
    "time limit": "wall time, and processor time of all its processes together",
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "namespaces": {
        **_BOTH,
        "files": "of the host only libraries and the environment exist, read-only",
        "processes": "it sees, signals and traces only what it started, and all that ends with it",
        "network": "no interface, not even loopback",
        "system-call filter": "about 80 calls are refused, and every unknown one",
    },
    "landlock": {
        **_BOTH,
        "files": "of the host only libraries and the environment can be opened, none written",
        "owner's rights": "modes and dates of the user's other files cannot be changed",
        "other processes": "they cannot be signalled, traced or limited",
        "network": "no socket can be made but a connected pair",
        "system-call filter": "the calls refused in namespaces, and more",
    },
}
_LEVEL = {
    "namespaces": "the stronger of two",
    "landlock": "the weaker of two, for where namespaces are forbidden",
}


def story(walls: Walls, engines: Sequence[Engine], level: str = "") -> Iterator[str]:
    """Yield the lines that tell a person what stands here, what does not, and what raises it.

    `level` is the one that was asked for, if one was.
    """
    if not walls.isolated:
        refused = f"at the level {level}" if level else "here: untrusted code is refused"
        yield f"no walls stand {refused}"
    else:
        yield f"level: {walls.level}, {_LEVEL[walls.level]}"
    words = WORDS.get(walls.level, {})
    for wall in walls.standing:
        yield f"  stands   {wall:<19} {words.get(wall, '')}".rstrip()
    for wall in walls.missing:
        yield f"  missing  {wall}"
    if walls.fix:
        yield f"to raise {'them' if not walls.isolated else 'what is missing'}: {walls.fix}"
    elif walls.missing:
        other = "`toprope sandbox probe --level namespaces`"
        yield f"these stand at the level namespaces: {other} says whether it can be had here"
    yield "further walls around these, which only environments that are images need:"
    for engine in engines:
        yield f"  {engine.name:<8} {_answer(engine)}"
    if not engines:
        yield f"  neither {' nor '.join(ENGINES)} is installed: `sudo apt install {ENGINES[0]}`"


def _answer(engine: Engine) -> str:
    if not engine.fault:
        return f"answers ({engine.version})"
    daemon = ": start it by `sudo systemctl start docker`" if engine.name == "docker" else ""
    return f"does not answer ({engine.fault}){daemon}"
