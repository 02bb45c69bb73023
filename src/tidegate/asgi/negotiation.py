"""Reading Accept-* fields (RFC 9110 §12.4, §12.5), in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MEMBERS = 64


def quality(text: str) -> float:
    """A qvalue (RFC 9110 §12.4.2); what is none counts as 0."""
    try:
        value = float(text) if len(text) <= 5 and text.isascii() and text[:1].isdigit() else -1.0
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0


def weighted(fields: Sequence[str]) -> dict[str, float]:
    """The members of an Accept-* field, lower-cased, with their weights; at most MAX_MEMBERS are read."""
    members: dict[str, float] = {}
    for member in ",".join(fields).split(",", MAX_MEMBERS)[:MAX_MEMBERS]:
        name, _, rest = member.partition(";")
        name = name.strip().lower()
        weight = 1.0
        for parameter in rest.split(";"):
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                weight = quality(value.strip())
        if name:
            members[name] = weight
    return members


def accepts_coding(fields: Sequence[str], coding: str) -> bool:
    """Whether Accept-Encoding takes `coding`: by name, or by `*` (RFC 9110 §12.5.3); a weight of 0
    refuses."""
    members = weighted(fields)
    return members.get(coding, members.get("*", 0.0)) > 0.0
