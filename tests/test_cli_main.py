import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from toprope.cli import main as cli


def toprope(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "toprope.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def run_with_verb(body, verb="doctor"):
    """Run the command line with a verb replaced by a function of this body."""
    program = textwrap.dedent(
        """
        import sys, types
        from toprope.terms import TopropeError
        module = types.ModuleType("toprope.cli.VERB")
        def command():
            BODY
        module.command = command
        sys.modules["toprope.cli.VERB"] = module
        module.__spec__ = sys.__spec__
        from toprope.cli.main import main
        main(["VERB"])
        """
    )
    program = program.replace("BODY", body).replace("VERB", verb)
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(body):
    process = run_with_verb(body)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_help_is_fast_and_needs_no_torch():
    program = (
        "import sys\nfrom toprope.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "models" in done.stdout
    assert "doctor" in done.stdout


def test_the_version_is_printed():
    done = toprope("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "toprope")


def test_success_is_0():
    assert outcome("print('done')")[:2] == (0, "done\n")


def test_an_expected_failure_is_1_and_one_line_without_a_traceback():
    code, out, err = outcome("raise TopropeError('the model is missing; run this')")
    assert (code, out, err) == (1, "", "error: the model is missing; run this\n")


@pytest.mark.parametrize("words", [["nonsense"], ["models", "fetch"], ["models", "--nonsense"]])
def test_a_senseless_command_line_is_2(words):
    assert toprope(*words).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("climb", "what was done is kept, run the same command to go on"),
        ("teacher", "what was recorded is kept, run the same command to record the rest"),
        ("eval", "nothing of it is kept, run the same command to begin again"),
        ("doctor", "nothing of it is kept, run the same command to begin again"),
    ],
)
def test_an_interrupt_is_3_and_says_what_is_kept(number, verb, told):
    process = run_with_verb("import time; print('up', flush=True); time.sleep(60)", verb)
    assert process.stdout.readline() == "up\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert told in err
    assert "Traceback" not in err


def test_a_fault_of_ours_is_4_with_a_traceback_and_a_hint():
    code, _, err = outcome("return 1 / 0")
    assert code == 4
    assert "ZeroDivisionError" in err
    assert "toprope doctor --json" in err


def test_a_full_disk_anywhere_is_1():
    code, _, err = outcome("raise OSError(28, 'No space left on device', 'runs/x')")
    assert code == 1
    assert err.startswith("error: the disk is full (runs/x)")


def test_every_listed_verb_that_exists_can_say_its_help():
    for verb in cli.VERBS:
        if os.path.exists(os.path.join(os.path.dirname(cli.__file__), f"{verb}.py")):
            done = toprope(verb, "--help")
            assert done.returncode == 0, (verb, done.stderr)
