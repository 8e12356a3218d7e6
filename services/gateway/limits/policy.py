"""Which limits hold for a caller: the narrowest rule for each place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from services.gateway.limits.rules import Limit, Rule, Subject

if TYPE_CHECKING:
    from services.gateway.ledger.events import Payer


def limits_of(
    payer: Payer, tier: str, built_in: Iterable[Rule], stored: Iterable[Rule]
) -> tuple[Limit, ...]:
    """Returns the limits of a caller.

    Of rules for the same place the narrowest holds: that of the key or user itself, then that of
    each key or user of the tenant, then the tier's as it was set, then the tier's own.

    Args:
        payer: The caller.
        tier: Of its tenant.
        built_in: Rules of the tier.
        stored: Rules that somebody set: the tenant's and tiers'.
    """
    ids: Mapping[Subject, str] = {
        Subject.KEY: payer.key_id,
        Subject.USER: "" if payer.user.startswith("key:") else payer.user,
        Subject.TENANT: payer.tenant,
    }
    chosen: dict[tuple[object, ...], tuple[int, Rule]] = {}

    def offer(rank: int, rule: Rule) -> None:
        held = chosen.get(rule.place)
        if held is None or held[0] < rank:
            chosen[rule.place] = (rank, rule)

    for rule in built_in:
        offer(0, rule)
    for rule in stored:
        if rule.tier:
            if rule.tier == tier:
                offer(1, rule)
        elif rule.tenant == payer.tenant:
            if not rule.subject_id:
                offer(2, rule)
            elif rule.subject_id == ids[rule.subject]:
                offer(3, rule)
    return tuple(
        Limit(rule, payer.tenant, ids[rule.subject], _source(rank, rule))
        for rank, rule in chosen.values()
        if rule.amount is not None and ids[rule.subject]
    )


def _source(rank: int, rule: Rule) -> str:
    if rank < 2:
        return "tier"
    return "tenant" if rank == 2 else rule.subject.value
