"""The sections of a config, wherever they stand."""

from collections.abc import Iterator, Mapping
from typing import Any


def sections(node: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every dictionary inside a part of a config, with its dotted key.

    Args:
        node: The part.
        where: Its dotted key; '' for the whole config.
    """
    if isinstance(node, Mapping):
        yield where, node
        children: Any = node.items()
    else:
        children = enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in children:
        yield from sections(value, f"{where}.{key}" if where else str(key))
