"""Time, as untrusted code may try to change it, to take it, or to hide that it took it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sandbox_as_user import opened_by
from test_sandbox_hostile import TELL, run, told
from toprope.sandbox import Sandbox
from toprope.sandbox.zygote.usage import Process, Unwaited


@pytest.fixture(scope="module")
def sandbox(owner: str) -> Iterator[Sandbox]:
    with opened_by(owner, workers=1) as opened:
        yield opened


def test_no_clock_can_be_set(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    value = getattr(libc, name)(*arguments)
    return "done" if value >= 0 else errno.errorcode[ctypes.get_errno()]
zero = (ctypes.c_long * 2)(0, 0)
change = (ctypes.c_long * 40)(0x8000)
seen = {"adjtimex": call("adjtimex", change), "settimeofday": call("settimeofday", zero, None),
        "time zone": call("settimeofday", None, (ctypes.c_int * 2)(60, 1))}
for clock in range(12):
    seen[f"clock_settime {clock}"] = call("clock_settime", clock, zero)
    seen[f"clock_adjtime {clock}"] = call("clock_adjtime", clock, change)
tell(seen)
"""
    before = time.time() - time.monotonic()
    assert set(told(run(sandbox, TELL + program)).values()) == {"EPERM"}
    assert abs(time.time() - time.monotonic() - before) < 60


def test_a_flood_of_timers_is_bounded(sandbox: Sandbox) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Notice(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("kind", ctypes.c_int),
                ("more", ctypes.c_char * 64)]
def fill(make):
    made = 0
    while made < 100_000 and make() >= 0:
        made += 1
    return [made, errno.errorcode[ctypes.get_errno()]]
timer, notice = ctypes.c_void_p(), Notice(None, 34, 0)
tell([fill(lambda: libc.timer_create(1, ctypes.byref(notice), ctypes.byref(timer))),
      fill(lambda: libc.timerfd_create(1, 0)),
      [libc.timerfd_create(alarm, 0) for alarm in (8, 9)]])
"""
    timers, descriptors, alarms = told(run(sandbox, TELL + program, descriptors=64))
    assert timers == [256, "EAGAIN"]
    assert descriptors == [60, "EMFILE"]
    assert alarms == [-1, -1], "clocks that would wake the machine"


def test_a_storm_of_ticks_does_not_hold_up_the_watchdog(sandbox: Sandbox) -> None:
    storm = """
import ctypes, os, signal
libc = ctypes.CDLL(None)
signal.signal(signal.SIGALRM, signal.SIG_IGN if IGNORED else lambda *_: None)
class Notice(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("kind", ctypes.c_int),
                ("more", ctypes.c_char * 64)]
each_nanosecond = (ctypes.c_long * 4)(0, 1, 0, 1)
for _ in range(100):
    timer = ctypes.c_void_p()
    libc.timer_create(1, ctypes.byref(Notice(None, signal.SIGALRM, 0)), ctypes.byref(timer))
    libc.timer_settime(timer, 0, each_nanosecond, None)
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
while True:
    try:
        while True: os.getppid()
    except Exception: pass
"""
    for ignored in (True, False):
        result = run(sandbox, storm.replace("IGNORED", str(ignored)), wall_s=1.0)
        assert (result.status, result.why) == ("timeout", "still running after 1 s")
        assert run(sandbox, "pass").why == "exited with 0"


@pytest.mark.parametrize(
    "sleep",
    [
        "time.sleep(1e6)",
        "libc.clock_nanosleep(0, 1, (ctypes.c_long * 2)(1 << 40, 0), None)",
        "libc.clock_nanosleep(7, 1, (ctypes.c_long * 2)(1 << 40, 0), None)",
        "select.select([], [], [], 1e6)",
        "signal.sigwait([signal.SIGUSR1])",
        "libc.pause()",
    ],
)
def test_whoever_sleeps_by_whichever_clock_is_woken_by_ours(sandbox: Sandbox, sleep: str) -> None:
    program = f"""
import ctypes, select, signal, time
libc = ctypes.CDLL(None)
time.time = time.monotonic = lambda: 0.0
for number in signal.valid_signals() - {{signal.SIGKILL, signal.SIGSTOP}}:
    signal.signal(number, signal.SIG_IGN) if number < 32 else None
while True:
    {sleep}
"""
    result = run(sandbox, program, wall_s=0.5)
    assert (result.status, result.why) == ("timeout", "still running after 0.5 s")


def test_nobody_gets_ahead_of_the_watchdog(sandbox: Sandbox) -> None:
    program = """
import resource
ranks = {name: error(os.sched_setscheduler, 0, getattr(os, name), os.sched_param(1))
         for name in ("SCHED_FIFO", "SCHED_RR")}
ahead = os.nice(0) - 1
ranks["nice"] = error(os.nice, -1)
ranks["priority"] = error(os.setpriority, os.PRIO_USER, 0, ahead)
tell([ranks, [resource.getrlimit(name) for name in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE)]])
"""
    ranks, limits = told(run(sandbox, TELL + program))
    assert set(ranks.values()) <= {"EPERM", "EACCES"}
    assert limits == [[0, 0], [0, 0]]


def test_stubborn_spinners_in_many_processes_end_too(sandbox: Sandbox) -> None:
    program = """
import os, signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    if number < 32: signal.signal(number, signal.SIG_IGN)
for _ in range(3): os.fork()
os.setsid() if os.getpid() != os.getsid(0) else None
while True: pass
"""
    result = run(sandbox, program, wall_s=60, cpu_s=1)
    assert (result.status, result.why) == ("timeout", "used more than 1 s of processor time")
    assert run(sandbox, "pass").why == "exited with 0"


DODGE = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try:
        child = os.fork()
    except BlockingIOError:  # on a busy machine they take longer
        time.sleep(0.15)
        continue
    if child == 0:
        end = time.thread_time() + 0.15
        while time.thread_time() < end: pass
        os._exit(0)
    time.sleep(0.15)
"""


def test_processor_time_counts_though_nobody_waits_for_who_used_it(sandbox: Sandbox) -> None:
    result = run(sandbox, DODGE, wall_s=60, cpu_s=1)
    assert (result.status, result.why) == ("timeout", "used more than 1 s of processor time")


def test_and_counts_once_where_somebody_waits(sandbox: Sandbox) -> None:
    program = """
import os, time
def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
for _ in range(40):
    if os.fork() == 0:
        if os.fork() == 0:
            work(0.011)
            os._exit(0)
        os.wait()
        work(0.011)
        os._exit(0)
    os.wait()
"""
    # About 0.9 s are used; were they counted twice, it would be too much.
    assert run(sandbox, program, wall_s=60, cpu_s=1.2).why == "exited with 0"


def process(pid: int, own: float, childrens: float = 0.0) -> Process:
    return Process(pid, "S", 1, 1, 0, 0, own, childrens)


def test_unwaited_time_is_what_nobody_inherits() -> None:
    lost = Unwaited()
    lost.look([process(2, 0.1), process(3, 0.5)])
    lost.look([process(2, 0.1)])  # 3 has gone, and might be in an account read before it went
    assert lost.seconds == 0.0
    lost.look([process(2, 0.2)])
    assert lost.seconds == 0.5


def test_inherited_time_is_not_lost_at_this_look_or_the_next() -> None:
    at_once, later = Unwaited(), Unwaited()
    for look in (
        [process(2, 0.1), process(3, 0.5)],
        [process(2, 0.1, 0.55)],
        [process(2, 0.1, 0.55)],
    ):
        at_once.look(look)
    later.look([process(2, 0.1), process(3, 0.5)])
    later.look([process(2, 0.1)])
    later.look([process(2, 0.1, 0.4)])
    later.look([process(2, 0.1, 0.4)])
    assert at_once.seconds == 0.0
    assert later.seconds == pytest.approx(0.1)
