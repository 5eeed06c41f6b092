import ast

import pytest

from toprope.forge.clean import clean_text
from toprope.forge.extract import NotExtractable, candidates, extract
from toprope.forge.modules import read_modules
from toprope.forge.packages import Package

PACKAGE = Package("pack", "1.0", "0" * 64, "MIT")


def cut(files, name):
    modules = read_modules(files)
    for node, module in candidates(modules):
        if node.name == name:
            return extract(node, module, modules, PACKAGE)
    raise AssertionError(f"no function {name}")


def run(piece, *args):
    space = {}
    exec(compile(piece.file_with(piece.text), piece.filename, "exec"), space)
    return space[piece.name](*args)


def test_docstrings_comments_and_blank_lines_go_but_strings_stay_whole():
    text = (
        "def f(a):\n"
        '    """Say."""\n'
        "\n"
        "    # why\n"
        "    b = '# no comment'  # but this is\n"
        '    c = """x\n'
        "\n"
        '    # y"""\n'
        "    return a + b + c\n"
    )
    node = ast.parse(text).body[0]
    cleaned = clean_text(node, text.split("\n"))
    assert cleaned == (
        'def f(a):\n    b = \'# no comment\'\n    c = """x\n\n    # y"""\n    return a + b + c\n'
    )


def test_a_function_takes_what_it_needs_from_any_module_of_its_package():
    files = {
        "pack/__init__.py": "",
        "pack/one.py": (
            "import re\nimport os\nfrom .two import double as twice, LIMIT\n"
            "PATTERN = re.compile('a+')\n"
            "def unused():\n    return os.getcwd()\n"
            "def f(text):\n    found = PATTERN.findall(text)\n"
            "    return twice(len(found)) + LIMIT\n"
        ),
        "pack/two.py": (
            "BASE = 3\nLIMIT = BASE + 1\ndef double(n):\n    '''Two.'''\n    return 2 * n\n"
        ),
    }
    piece = cut(files, "f")
    assert run(piece, "a b aa") == 8
    assert "os" not in piece.prelude
    assert piece.text.startswith("def f(text):\n")
    assert piece.file_with(piece.text).split("\n")[piece.first_line - 1] == "def f(text):"
    assert piece.entry == "one.py:f"


def test_a_file_never_takes_the_name_of_a_standard_module():
    assert cut(
        {"pack/string.py": "def f(s):\n    return s.strip() + s.lower()\n"}, "f"
    ).filename == ("string_.py")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(p):\n    with open(p) as h:\n        return h.read()\n", "reaches files"),
        ("import os\ndef f(p):\n    return os.path.join(p, 'abc', p)\n", "not pure"),
        ("import datetime\ndef f(n):\n    return datetime.date.today().year + n\n", "clocks"),
        ("def f(n):\n    import random\n    return random.random() + n\n", "reaches"),
        ("@property\ndef f(n):\n    return n + n + n + n\n", "a decorator"),
        ("def f(self, n):\n    return n + n + n + n + n\n", "is a method"),
        ("def f():\n    return 1 + 2 + 3 + 4 + 5 + 6 + 7\n", "takes no arguments"),
        ("def f(n, *, k):\n    return n + k + n + k + n\n", "keyword argument"),
        ("def f(n):\n    return MISSING + n + n + n + n\n", "not defined plainly"),
        ("N = 1\nN += 1\ndef f(n):\n    return N + n + n + n\n", "not defined plainly"),
        ("def f(n):\n" + "    n += 1\n" * 20 + "    return n\n", "too long or too short"),
    ],
)
def test_what_cannot_stand_alone_is_turned_away_with_a_reason(source, reason):
    with pytest.raises(NotExtractable, match=reason):
        cut({"pack/mod.py": source}, "f")
