"""What every part asks of its numbers, said at the start in one sentence."""

from mmtaformer.utils.errors import UsageError


def require_positive(owner: object | str, **counts: int) -> None:
    """Check counts that a part cannot be built without.

    Args:
        owner: The part, or its name for the message.
        counts: Argument -> its value.

    Raises:
        UsageError: If one is not an integer of at least 1.
    """
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise UsageError(
                f"{_name(owner)} has {name}={count!r}; give an integer of at least 1."
            )


def require_choice(
    owner: object | str, choices: tuple[object, ...], **values: object
) -> None:
    """Check values that have to be one of a few.

    Args:
        owner: The part, or its name for the message.
        choices: What they may be.
        values: Argument -> its value.

    Raises:
        UsageError: If one is none of them.
    """
    for name, value in values.items():
        if value not in choices:
            known = " or ".join(map(repr, choices))
            raise UsageError(f"{_name(owner)} has {name}={value!r}; give {known}.")


def require_heads(owner: object | str, embed_dims: int, num_heads: int) -> None:
    """Check that the heads of an attention can share its channels evenly.

    Raises:
        UsageError: If they cannot.
    """
    require_positive(owner, embed_dims=embed_dims, num_heads=num_heads)
    if embed_dims % num_heads:
        raise UsageError(
            f"{_name(owner)} has {embed_dims} channels (embed_dims) for "
            f"{num_heads} heads (num_heads); choose heads that divide the channels."
        )


def require_same(what: str, **values: object) -> None:
    """Check that parts of a model agree.

    Args:
        what: What they have to agree on, for the message.
        values: Place in the config, with ``__`` for the dots -> its value.

    Raises:
        UsageError: If two differ.
    """
    if len(set(map(str, values.values()))) > 1:
        found = ", ".join(
            f"{place.replace('__', '.')} has {value}" for place, value in values.items()
        )
        raise UsageError(f"The parts of the model disagree on {what}: {found}.")


def _name(owner: object | str) -> str:
    return owner if isinstance(owner, str) else type(owner).__name__
