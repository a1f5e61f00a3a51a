"""KEY=VALUE options of the command line: what they mean, and where they go."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, DictAction

from ..errors import UsageError
from .config_check import READ, closest, helper_names
from .sections import sections


def parse_value(text: str) -> Any:
    """Read the value of an option.

    Args:
        text: A number, ``True``, ``False``, ``None``, a list ``[a,b]`` or ``a,b``, a
            tuple ``(a,b)``, or a text. Quotes around it keep a text from being read
            as anything else.

    Raises:
        ValueError: If the brackets of a list do not match.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text[:1] + text[-1:] in ("[]", "()") and len(text) > 1:
        items = [parse_value(part) for part in _split(text[1:-1])]
        return tuple(items) if text[0] == "(" else items
    if "," in text or text.startswith(("[", "(")):
        parts = _split(text)
        if len(parts) > 1 or text.endswith(","):
            return [parse_value(part) for part in parts]
    return DictAction._parse_int_float_bool(text)


def _split(text: str) -> list[str]:
    """Split at the commas that are in no brackets."""
    parts, closing = [""], []
    for character in text:
        if character in "[(":
            closing.append("]" if character == "[" else ")")
        elif character in "])" and (not closing or closing.pop() != character):
            raise ValueError(f"the brackets of {text!r} do not match")
        if character == "," and not closing:
            parts.append("")
        else:
            parts[-1] += character
    if closing:
        raise ValueError(f"the brackets of {text!r} do not match")
    # `(5,)` has one element, `[]` none.
    return parts[:-1] if not parts[-1].strip() else parts


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse options that would change nothing, or for which there is no place.

    Args:
        cfg: The config, before the options are merged into it.
        options: Values by their dotted keys.

    Raises:
        UsageError: In one sentence, what is wrong with the first such option.
    """
    for key, value in options.items():
        _check_read(cfg, key, value)
        _check_place(cfg, key, value)


def _check_read(cfg: Config, key: str, value: Any) -> None:
    """Refuse variables of the config file: their values were used when it was read."""
    name = key.partition(".")[0]
    if name in READ or (name in cfg and name not in helper_names(cfg)):
        return
    same_name = _keys_called(cfg, key.rpartition(".")[2])
    meant = same_name[0] if same_name else closest(name, [*READ, *cfg])
    raise UsageError(
        f"--cfg-options {key}={value} would change nothing, because nothing reads "
        f"{name!r} when the config has been read"
        + (f"; did you mean {meant}?" if meant else ".")
    )


def _keys_called(cfg: Config, name: str) -> list[str]:
    """Return the dotted keys that end with a name, the shortest first."""
    found = [
        f"{where}.{name}" if where else name
        for where, section in sections(cfg._cfg_dict)
        if name in section and (where or name).partition(".")[0] in READ
    ]
    return sorted(found, key=lambda path: (path.count("."), path))


def _check_place(cfg: Config, key: str, value: Any) -> None:
    """Follow a key into the config, and compare the value with what is there."""
    node: Any = cfg._cfg_dict
    parts = key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        if isinstance(node, Mapping):
            if part not in node:
                return  # a new key; whether anything reads it is checked later
            node = node[part]
        elif isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise UsageError(
                    f"--cfg-options {key}: {where} is a list whose entries are "
                    f"numbered 0 to {len(node) - 1}, so there is no {part!r} in it."
                )
            node = node[int(part)]
        else:
            raise UsageError(
                f"--cfg-options {key}: {where} is {node!r} in the config, which has no "
                "parts; set it in a config that inherits from this one."
            )
    if isinstance(node, int | float) and isinstance(value, str):
        raise UsageError(
            f"--cfg-options {key}={value} should be like the {node!r} of the config."
        )
    if isinstance(node, Mapping) and value is not None:
        raise UsageError(
            f"--cfg-options {key}={value} would replace a whole section; set its "
            f"parts, such as {key}.{next(iter(node), 'NAME')}=..."
        )
