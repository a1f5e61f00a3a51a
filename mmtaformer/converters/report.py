"""What became of every parameter, for people to read."""

import re
from collections.abc import Iterable

from .rules import Action, Conversion, Entry


def format_report(conversion: Conversion, missing: Iterable[str] | None = None) -> str:
    """List what was done, with similar names on one line.

    Args:
        conversion: What was converted.
        missing: Names the model has and the conversion does not; None if they were
            not compared.

    Returns:
        str: One paragraph per action, for example::

            renamed: 12
              linear{1-2}.{weight,bias} -> ffn.{0-1}.{weight,bias}  (4)
    """
    entries = [*conversion.entries.values(), *conversion.left_out]
    entries += [Entry(Action.AT_INITIALIZATION, target=name) for name in missing or ()]
    lines = []
    for action in Action:
        chosen = [entry for entry in entries if entry.action is action]
        if chosen:
            lines.append(f"{action.value}: {len(chosen)}")
            lines += [f"  {line}" for line in _summarize(chosen)]
    return "\n".join(lines)


# What names of one kind differ in: numbers, and the parameter at their end.
_VARYING = re.compile(r"\d+|(?<=\.)(?:weight|bias|running_mean|running_var)(?= |$)")


def _summarize(entries: list[Entry]) -> list[str]:
    """One line for all entries of a kind."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        names = dict.fromkeys(name for name in (entry.source, entry.target) if name)
        text = " -> ".join(names)
        kinds.setdefault((_VARYING.sub("*", text), entry.note), []).append(text)
    lines = []
    for (_, note), texts in kinds.items():
        line = _merge(texts)
        if len(texts) > 1:
            line += f"  ({len(texts)})"
        lines.append(f"{line}: {note}" if note else line)
    return lines


def _merge(texts: list[str]) -> str:
    """Texts of a kind as one, ``layers.0`` and ``layers.1`` as ``layers.{0-1}``."""
    columns = zip(*map(_VARYING.findall, texts))
    alternatives = iter([_format(list(dict.fromkeys(column))) for column in columns])
    return _VARYING.sub(lambda _: next(alternatives), texts[0])


def _format(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    if all(value.isdigit() for value in values):
        numbers = sorted(map(int, values))
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            return f"{{{numbers[0]}-{numbers[-1]}}}"
        values = list(map(str, numbers))
    return "{" + ",".join(values) + "}"
