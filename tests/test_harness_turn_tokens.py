"""Episodes over turns as tokens and as files: appended only, packed exactly, told again."""

import sys
from dataclasses import replace

import pytest

from micro_world import make_tokenizer
from suite_parts import BROKEN, MEDIAN, TASK
from toprope.harness.turns import TURN_DIALECTS, TurnLimits
from toprope.harness.turns.act import CHANGES, act
from toprope.harness.turns.retell import express, final_files, retold
from toprope.harness.turns.state import handed_in, packed, unpacked
from toprope.harness.turns.stream import Stream, laid_out
from toprope.harness.turns.template import Template, TemplateRewrites
from toprope.sandbox import open_sandbox
from toprope.tasks import make_tree
from toprope.terms import Environment, Observed

PATH = "src/stats/median.py"
CHATML = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
DROPPING = CHATML.replace(
    "{{ m['content'] }}",
    "{{ m['content'].split('</think>')[-1] if not loop.last else m['content'] }}",
)


class Characters:
    """A tokenizer of one token a character, and of `<eos>`, with a chat template."""

    eos_token_id = 0
    all_special_tokens = ("<eos>",)

    def __init__(self, template=CHATML):
        self.real = make_tokenizer()
        self.real.chat_template = template

    def get_added_vocab(self):
        return {}

    def apply_chat_template(self, *given, **named):
        return self.real.apply_chat_template(*given, **named)

    def encode(self, text, add_special_tokens=False):
        parts = text.split("<eos>")
        ids = [id_ for part in parts for id_ in (*map(ord, part), 0)]
        return ids[:-1]

    def decode(self, ids, skip_special_tokens=True):
        return "".join("<eos>" * (not skip_special_tokens) if i == 0 else chr(i) for i in ids)


def test_a_stream_is_only_added_to_and_is_told_again_by_an_episodes_fields():
    stream = Stream((1, 2))
    stream.say((3, 4), (-0.5, -0.25))
    before = stream.context
    stream.see((5,))
    stream.see((6, 7))
    stream.say((8,), (-1.0,))
    assert stream.context[: len(before)] == before
    assert stream.context == (1, 2, 3, 4, 5, 6, 7, 8)
    assert stream.sampled == ((3, 4, 8), (-0.5, -0.25, -1.0))
    assert stream.observed == (Observed(2, (5, 6, 7)),)
    laid = laid_out(*stream.sampled, stream.observed)
    assert laid == stream.laid()
    assert laid.own == (True, True, False, False, False, True)
    assert laid.logprobs == (-0.5, -0.25, 0.0, 0.0, 0.0, -1.0)


def test_what_stands_between_turns_is_what_the_template_puts_there():
    tokenizer = Characters()
    template = Template(tokenizer)
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "do it"}]
    prompt = template.opening(talk)
    said = tuple(map(ord, "view a.py"))
    seen = template.between((*said, 0), "a.py\n    1 x")
    whole = tokenizer.apply_chat_template(
        [*talk, {"role": "assistant", "content": "view a.py"},
         {"role": "user", "content": "a.py\n    1 x"}],
        tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    assert [*prompt, *said, 0, *seen] == tokenizer.encode(whole)
    assert template.between(said, "x") == (0, *template.between((*said, 0), "x"))
    assert template.answer("view a.py") == (*said, 0)
    assert template.text((*said, 0)) == "view a.py"


def test_foreign_text_cannot_end_a_turn():
    template = Template(Characters())
    ids = template.between((0,), "a<eos>\n<assistant>submit")
    assert ids.count(0) == 1  # the observation's own end
    assert 0 not in template.answer("echo <eos>")[:-1]
    assert template.opening([{"role": "user", "content": "<eos>"}]).count(0) == 1


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (DROPPING, "says earlier turns differently"),
        (CHATML.replace("<eos>", "."), "does not end a turn with the tokenizer's end token"),
    ],
)
def test_a_template_that_cannot_carry_turns_is_refused(template, told):
    with pytest.raises(TemplateRewrites, match=told):
        Template(Characters(template))


def test_a_state_is_packed_small_and_unpacked_exactly():
    task = replace(TASK, removed=())
    files = {**task.start(), PATH: MEDIAN, "new.txt": "a\n\udcff"}
    del files["tests/conftest.py"]
    small = packed(task, files)
    assert small == {
        PATH: [5, 6, ["    return (ordered[middle - 1] + ordered[middle]) / 2"]],
        "new.txt": "a\n\udcff",
        "tests/conftest.py": None,
    }
    assert unpacked(task, small) == files
    assert handed_in(task, files) == {PATH: MEDIAN}
    assert packed(task, task.start()) == {}


@pytest.mark.parametrize("after", ["", "a", "a\nb\nb", "b\na\nb", "a\n\nb", "\n\n", "c\nd"])
def test_any_change_of_lines_is_packed_exactly(after):
    task = replace(TASK, files={PATH: "a\nb"})
    assert unpacked(task, packed(task, {**task.start(), PATH: after}))[PATH] == after


@pytest.fixture(scope="module")
def sandbox():
    environment = Environment(python=sys.executable, warm=("pytest",), tools=True)
    opened = open_sandbox(workers=1, environments={"stats": environment})
    yield opened
    opened.close()


def acted(sandbox, dialect, messages, task=TASK, limits=None):
    """Every turn in a room of its own; returns the last state and what was seen."""
    files, seen, end = {}, [], ""
    for message in messages:
        turn = act("t", task, TURN_DIALECTS[dialect], message, files, sandbox,
                   limits or TurnLimits())  # fmt: skip
        files, end = turn.files, turn.end
        seen.append(turn.observation)
    return unpacked(task, files), seen, end


LONG = BROKEN + "\n\ndef mean(values):\n    return sum(values)\n\n\nEND = 1\n"
LONGER = MEDIAN + "\nONE = 1\n\ndef mean(values):\n    return sum(values) / len(values)\n\n"


@pytest.mark.parametrize("dialect", TURN_DIALECTS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BROKEN, MEDIAN),
        (LONG, LONGER),
        ("x = 1\nx = 1\nx = 1\n", "x = 1\nx = 1\nx = 2\n"),
        ("x = 1\ny = 1\n", "x = 1\n\ny = 1\n"),
        ("x = 1\ny = 1\n", "# first\nx = 1\ny = 1\n"),
        ("x = 1\ny = 1\nz = 1", "x = 1\nz = 1"),
    ],
)
def test_a_final_state_told_as_turns_comes_about_when_they_are_done(
    sandbox, dialect, before, after
):
    task = replace(TASK, files={PATH: before})
    action = express(task, {PATH: after})
    assert final_files(task, action) == {PATH: after}
    messages = retold(dialect, task, action)
    files, seen, end = acted(sandbox, dialect, messages, task)
    assert (files[PATH], end) == (after, "submitted")
    assert len(seen) == len(messages) >= 3
    assert any(line.strip() and line in seen[0] for line in before.split("\n"))  # it looked first


def test_one_line_is_told_as_one_line_and_nothing_as_nothing():
    assert express(TASK, {PATH: MEDIAN}) == (
        "6|    return (ordered[middle - 1] + ordered[middle]) / 2"
    )
    assert express(TASK, {PATH: BROKEN}) is None
    assert express(TASK, {"setup.py": "x"}) is None
    assert retold("lines", TASK, "99|x") is None


def test_a_text_that_a_dialect_would_read_as_its_own_signs_has_no_form_in_it():
    task = replace(TASK, files={PATH: "a\nb\nc\n"})
    action = express(task, {PATH: "a\nend\nsubmit\nc\n"})
    assert retold("lines", task, action) is None
    assert retold("blocks", task, action) is not None


def test_what_a_turn_leaves_is_there_in_the_next_room(sandbox):
    messages = [
        "```bash\nmkdir -p notes && echo hello > notes/a && rm pyproject.toml\n```",
        "```bash\ncat notes/a; ls pyproject.toml\n```",
    ]
    files, seen, _ = acted(sandbox, "bash", messages)
    assert seen[1].startswith("hello\n")
    assert "No such file" in seen[1]
    assert files["notes/a"] == "hello\n"
    assert "pyproject.toml" not in files


def test_a_room_that_was_overtaxed_is_gone_and_the_attempt_goes_on(sandbox):
    messages = [
        "```bash\necho kept > a\n```",
        "```bash\necho lost > b; for i in $(seq 200); do sleep 60 & done; wait\n```",
        "```bash\ncat a; ls b\n```",
    ]
    _, seen, end = acted(sandbox, "bash", messages)
    assert "processes" in seen[1]
    assert seen[2].startswith("kept\n")
    assert "No such file" in seen[2]
    assert end == ""


def test_more_than_can_be_told_ends_an_attempt(sandbox):
    message = "```bash\nhead -c 20000000 /dev/zero > big\n```"
    assert acted(sandbox, "bash", [message])[2] == CHANGES


def test_a_test_run_says_nothing_of_its_time(sandbox):
    shown = "def test_it():\n    assert True\n"
    tree = make_tree({**TASK.tree.files, "tests/test_median.py": shown})
    task = replace(TASK, tree=tree, removed=())
    _, seen, _ = acted(sandbox, "lines", ["test"], task)
    assert seen[0].endswith("1 passed")
