"""Which channel shows what, as far as its name tells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cyto_kedro.errors import ConfigError, unknown

EFFECTORS = (
    *(
        "effector",
        "tcell",
        "tcells",
        "cd8",
        "cd4",
        "cd3",
        "nk",
        "nkcell",
        "nkcells",
        "car",
        "cart",
        "til",
    ),
    *("ctl", "jurkat", "immune", "killer", "killers", "macrophage"),
)
TARGETS = (
    *("target", "targets", "cancer", "cancercell", "cancercells", "tumor", "tumour", "tumourcell"),
    *(
        "tumorcell",
        "nalm6",
        "k562",
        "raji",
        "hela",
        "mcf7",
        "b16",
        "a549",
        "skov3",
        "daudi",
        "melanoma",
    ),
)
DEATHS = (
    *(
        "dead",
        "death",
        "pi",
        "propidium",
        "propidiumiodide",
        "annexin",
        "annexinv",
        "sytox",
        "cytotox",
    ),
    *("caspase", "caspase3", "caspase37", "draq7", "7aad", "topro3"),
)


@dataclass(frozen=True)
class Roles:
    """Channels by what they show; every other one is measured and not segmented."""

    effectors: tuple[str, ...]
    targets: tuple[str, ...]
    death: str | None


def guess(channel: str) -> str | None:
    """``effector``, ``target`` or ``death`` by the words in a channel's name; None: it does not tell.

    Examples
    --------
    >>> guess("T_cell"), guess("AnnexinV_green"), guess("Phase")
    ('effector', 'death', None)
    """
    parts = [part.lower() for part in re.split(r"[\W_]+", channel) if part]
    words = {*parts, "".join(parts), *("".join(parts[i : i + 2]) for i in range(len(parts)))}
    told = [
        role
        for role, known in (("effector", EFFECTORS), ("target", TARGETS), ("death", DEATHS))
        if words & set(known)
    ]
    return told[0] if len(told) == 1 else None


def propose(
    channels: Iterable[str],
    effectors: Iterable[str] = (),
    targets: Iterable[str] = (),
    death: str | None = None,
) -> Roles:
    """What is stated, and for what nobody stated, what names tell.

    Raises ConfigError if a stated channel is not there, or is stated twice.
    """
    names = list(channels)
    stated = {"effector": tuple(effectors), "target": tuple(targets)}
    stated["death"] = (death,) if death else ()
    taken: dict[str, str] = {}
    for role, chosen in stated.items():
        for name in chosen:
            if name not in names:
                raise ConfigError(f"--{role}: {unknown('channel', name, names)}")
            if taken.setdefault(name, role) != role:
                raise ConfigError(f"channel {name!r} is stated as {taken[name]} and as {role}")
    guessed = {name: guess(name) for name in names if name not in taken}
    for role, chosen in stated.items():
        if not chosen:
            stated[role] = tuple(name for name, told in guessed.items() if told == role)
    return Roles(stated["effector"], stated["target"], next(iter(stated["death"]), None))
