"""Renaming parameters by rules, with a record of what became of each."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from mmtaformer.utils.errors import DataError


class Action(str, Enum):
    """What can become of a parameter."""

    MAPPED = "mapped under the same name"
    RENAMED = "renamed"
    ADAPTED = "adapted"
    ADDED = "added"
    LEFT_OUT = "left out"
    AT_INITIALIZATION = "left at initialization"


@dataclass
class Entry:
    """What became of one parameter.

    Attributes:
        action: What happened.
        source: Name in the source file; empty for what the converter added.
        target: Name here; empty for what was left out.
        note: Why, or how.
    """

    action: Action
    source: str = ""
    target: str = ""
    note: str = ""


@dataclass(frozen=True)
class Rule:
    """What becomes of the parameters whose whole name matches a pattern.

    Attributes:
        pattern: Regular expression of the whole source name.
        targets: Names here, with references to the pattern's groups; several copy the
            parameter to several places, none leaves it out.
        note: Why it is left out or copied.
        adapt: Function of the value that gives the value here.
    """

    pattern: str
    targets: tuple[str, ...] = ()
    note: str = ""
    adapt: Callable[[Tensor], Tensor] | None = None


class Conversion:
    """Parameters under this project's names, and what became of every source name.

    Attributes:
        state_dict: The parameters.
        entries: Name here -> what it was made of.
        left_out: What nothing was made of.
    """

    def __init__(self) -> None:
        self.state_dict: dict[str, Tensor] = {}
        self.entries: dict[str, Entry] = {}
        self.left_out: list[Entry] = []

    def put(self, source: str, target: str, value: Tensor, note: str = "") -> None:
        """Take over a parameter.

        Raises:
            DataError: If another source name was already taken over as ``target``.
        """
        if target in self.entries:
            raise DataError(
                f"'{source}' and '{self.entries[target].source}' both stand for "
                f"'{target}': the file mixes two models; save one of them alone."
            )
        action = Action.MAPPED if source == target else Action.RENAMED
        self.state_dict[target] = value
        self.entries[target] = Entry(action, source, target, note)

    def adapt(self, target: str, value: Tensor, note: str) -> None:
        """Replace the value of a parameter that was taken over."""
        entry = self.entries[target]
        if entry.action is not Action.ADDED:
            entry.action = Action.ADAPTED
        entry.note = f"{entry.note}; {note}" if entry.note else note
        self.state_dict[target] = value

    def add(self, target: str, value: Tensor, note: str) -> None:
        """Add a parameter that the source does not have."""
        assert target not in self.entries, target
        self.state_dict[target] = value
        self.entries[target] = Entry(Action.ADDED, "", target, note)

    def leave_out(self, source: str, note: str) -> None:
        """Record a source name that nothing is made of."""
        self.left_out.append(Entry(Action.LEFT_OUT, source, "", note))

    def drop(self, target: str, note: str) -> None:
        """Leave out a parameter after all."""
        del self.state_dict[target]
        entry = self.entries.pop(target)
        self.left_out.append(Entry(Action.LEFT_OUT, entry.source, "", note))

    def rename(self, target: str, new_target: str, note: str) -> None:
        """Move a parameter to another name here."""
        if target == new_target:
            return
        entry, value = self.entries.pop(target), self.state_dict.pop(target)
        self.put(entry.source, new_target, value)
        self.adapt(new_target, value, note)

    def find(self, pattern: str) -> list[str]:
        """The names here that match a regular expression as a whole."""
        return [name for name in self.state_dict if re.fullmatch(pattern, name)]


def convert_by_rules(
    source: Mapping[str, Tensor], rules: Iterable[Rule], model: str, example: str
) -> Conversion:
    """Convert a state dict by the first rule that matches each name.

    Args:
        source: Parameters under their source names.
        rules: The rules.
        model: What the names should be those of, for the error message.
        example: One of these names, for the error message.

    Raises:
        DataError: If no rule matches a name.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    conversion, unknown = Conversion(), []
    for name, value in source.items():
        for pattern, rule in compiled:
            match = pattern.fullmatch(name)
            if match:
                _apply(rule, match, value, conversion)
                break
        else:
            unknown.append(name)
    if unknown:
        others = f" (and {len(unknown) - 1} other names)" if len(unknown) > 1 else ""
        raise DataError(
            f"'{unknown[0]}'{others} is not a parameter of {model}, whose names look "
            f"like '{example}': check which model the file holds."
        )
    return conversion


def _apply(
    rule: Rule, match: re.Match[str], value: Tensor, conversion: Conversion
) -> None:
    name = match.string
    if not rule.targets:
        conversion.leave_out(name, rule.note)
    for template in rule.targets:
        target = match.expand(template)
        if rule.adapt is None:
            conversion.put(name, target, value, rule.note)
        else:
            conversion.put(name, target, value)
            conversion.adapt(target, rule.adapt(value), rule.note)
