"""The list of mutants fits the code and the tests that it names."""

from pathlib import Path

import pytest

from ..helpers.golden import REPO_ROOT


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("dev/mutants.py")


@pytest.fixture(scope="module")
def mutants(tool):
    return tool.load_mutants()


def test_every_mutant_changes_one_place_and_compiles(mutants):
    for mutant in mutants:
        text = mutant.apply(REPO_ROOT)
        assert text != Path(REPO_ROOT, mutant.file).read_text(), mutant.name
        if mutant.file.endswith(".py"):
            compile(text, mutant.file, "exec")


def test_names_are_unique_and_tests_exist(mutants):
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 40
    for mutant in mutants:
        for test in mutant.tests.split():
            assert Path(REPO_ROOT, test.split("::")[0]).exists(), (mutant.name, test)


@pytest.fixture
def small_tree(tool, tmp_path, monkeypatch):
    """A repository of one function with a test, instead of this one."""
    code = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
    test = "import code_of\n\n\ndef test_double():\n    assert code_of.double(3) == 6\n"
    (tmp_path / "code_of.py").write_text(code)
    (tmp_path / "test_code.py").write_text(test)

    def copy(target):
        target.mkdir()
        for name in ("code_of.py", "test_code.py"):
            (target / name).write_text((tmp_path / name).read_text())

    monkeypatch.setattr(tool, "copy_tree", copy)
    monkeypatch.setattr(tool, "load_mutants", lambda: small_mutants(tool))
    return tmp_path


def small_mutants(tool):
    common = dict(why="", file="code_of.py", tests="test_code.py")
    return [
        tool.Mutant(name="tested", old="2 * x", new="3 * x", **common),
        tool.Mutant(name="untested", old="x / 2", new="x / 3", **common),
        tool.Mutant(name="broken", old="2 * x", new="2 *", **common),
        tool.Mutant(name="endless", old="return 2 * x", new="while True: x", **common),
    ]


def test_mutants_that_a_test_notices_are_killed(tool, small_tree, capsys):
    """Those that no test can judge, as they do not even compile, are not."""
    arguments = ["--only", "tested", "untested", "broken", "--skip-check"]
    assert tool.main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line.split() for line in lines if line.startswith(("kill", "SURV"))]
    assert [(words[0], words[3]) for words in verdicts] == [
        ("killed", "tested"),
        ("SURVIVED", "untested"),
        ("SURVIVED", "broken"),
    ]
    assert verdicts[0][4] == "test_code.py::test_double"
    assert lines[-1] == "1 of 3 mutants were killed."


def test_tests_that_never_end_have_noticed(tool, small_tree, capsys):
    assert tool.main(["--only", "endless", "--skip-check", "--limit", "0.1"]) == 0
    assert "timeout" in capsys.readouterr().out


def test_tests_that_fail_anyway_prove_nothing(tool, small_tree, capsys):
    (small_tree / "code_of.py").write_text("def double(x): return x  # 2 * x, x / 2\n")
    assert tool.main(["--only", "tested"]) == 2
    assert "fail without any mutant" in capsys.readouterr().out


def test_unknown_name(tool, capsys):
    assert tool.main(["--only", "nothing"]) == 2
    assert "no mutant nothing" in capsys.readouterr().out


def test_text_that_occurs_twice_is_refused(tool, tmp_path):
    (tmp_path / "code_of.py").write_text("x = 2 * x + 2 * x\n")
    with pytest.raises(ValueError, match="has '2 \\* x' 2 times"):
        small_mutants(tool)[0].apply(tmp_path)
