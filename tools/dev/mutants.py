"""Check that the tests notice bugs: break one line at a time and run tests.

Every entry of mutants.yml is a plausible bug and names the tests that ought to fail
with it. Each is tried in a copy of the tree of its own. The exit code is 1 if a mutant
survived, 2 if the tests fail without any.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_suffix(".yml")
_COMPILED = (".cpp", ".h")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py\S*)", re.M)


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        name: What it is called.
        why: What the bug does.
        file: The file that has it, relative to the root of the repository.
        old: Text that occurs once in this file.
        new: What it becomes.
        tests: Arguments of pytest that name the tests which ought to fail.
    """

    name: str
    why: str
    file: str
    old: str
    new: str
    tests: str

    def apply(self, root: Path = ROOT) -> str:
        """Return the text of the file with the bug.

        Args:
            root: A copy of the repository.

        Raises:
            ValueError: If the text to replace does not occur exactly once.
        """
        text = Path(root, self.file).read_text()
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"{self.name}: {self.file} has {self.old!r} {count} times; give a text "
                "that it has once."
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Outcome:
    """What a run of tests ended with.

    Attributes:
        status: "passed", "failed", "crash", "timeout", or "broken" if no test ran.
        seconds: How long it took.
        test: The first test that failed.
        output: What pytest printed.
    """

    status: str
    seconds: float
    test: str
    output: str


def load_mutants(path: Path = LIST) -> list[Mutant]:
    """Read the list of mutants."""
    entries = yaml.safe_load(path.read_text())
    keys = {field.name for field in fields(Mutant)}
    for entry in entries:
        if entry.keys() != keys:
            raise ValueError(f"{path.name}: {entry} must have {sorted(keys)}.")
    return [Mutant(**entry) for entry in entries]


def copy_tree(target: Path) -> None:
    """Copy the files of the working tree that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(tests: Sequence[str], mutant: Mutant | None, limit: float) -> Outcome:
    """Run tests in a new copy of the tree, up to the first that fails.

    Args:
        tests: Arguments of pytest.
        mutant: What is broken in the copy, if anything.
        limit: Seconds after which the tests are ended.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder, "tree")
        copy_tree(root)
        environment = {**os.environ, "PYTHONPATH": str(root)}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if mutant is not None:
            Path(root, mutant.file).write_text(mutant.apply(root))
            if mutant.file.endswith(_COMPILED):
                environment["TORCH_EXTENSIONS_DIR"] = str(Path(folder, "extensions"))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short"]
        command += ["-p", "no:cacheprovider", f"--basetemp={folder}/temp", *tests]
        started = time.monotonic()
        status, output = _run(command, root, environment, limit)
        failed = _FAILED.search(output)
        return Outcome(
            status, time.monotonic() - started, failed[1] if failed else "", output
        )


def _run(
    command: Sequence[str], root: Path, environment: dict[str, str], limit: float
) -> tuple[str, str]:
    try:
        result = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return "timeout", ""
    if result.returncode < 0:
        return "crash", result.stdout
    known = {0: "passed", 1: "failed"}
    return known.get(result.returncode, "broken"), result.stdout


def check_mutant(mutant: Mutant, limit: float) -> bool:
    """Run the tests of one mutant, print a line, and return whether it was killed."""
    outcome = run_tests(mutant.tests.split(), mutant, limit)
    is_killed = outcome.status in ("failed", "crash", "timeout")
    verdict = "killed" if is_killed else "SURVIVED"
    by = outcome.test or outcome.status
    print(f"{verdict:8} {outcome.seconds:6.1f} s  {mutant.name:32} {by}", flush=True)
    if outcome.status == "broken":
        print(f"{mutant.name}: the tests did not run.\n{outcome.output}", flush=True)
    return is_killed


def check_tests(mutants: Sequence[Mutant], limit: float) -> bool:
    """Return whether the tests of the mutants pass as long as nothing is broken.

    Each file runs alone, as it does with a mutant: one that leans on another file
    would seem to notice every bug.
    """
    for tests in sorted({mutant.tests for mutant in mutants}):
        outcome = run_tests(tests.split(), None, limit)
        if outcome.status != "passed":
            print(f"{tests}: the tests fail without any mutant.\n{outcome.output}")
            return False
    return True


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants alone")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds for the tests of a mutant"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument(
        "--skip-check",
        action="store_true",
        help="do not run the tests without a mutant first",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    mutants = load_mutants()
    if args.only:
        unknown = sorted({*args.only} - {mutant.name for mutant in mutants})
        if unknown:
            print(f"There is no mutant {', '.join(unknown)}; --list names them all.")
            return 2
        mutants = [mutant for mutant in mutants if mutant.name in args.only]
    if args.list:
        for mutant in mutants:
            print(f"{mutant.name:32} {mutant.why}")
        return 0
    if not args.skip_check and not check_tests(mutants, args.limit):
        return 2
    with ThreadPoolExecutor(args.jobs) as pool:
        killed = list(pool.map(lambda m: check_mutant(m, args.limit), mutants))
    print(f"{sum(killed)} of {len(killed)} mutants were killed.")
    return 0 if all(killed) else 1


if __name__ == "__main__":
    sys.exit(main())
