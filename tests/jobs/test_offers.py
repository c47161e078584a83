"""What may be asked for agrees with what the models say of themselves."""

from __future__ import annotations

from backend.jobs.offers import OFFERS
from backend.models.fusemap.card import CARD


def test_the_card_lists_every_verb_that_a_job_can_ask_for() -> None:
    listed = {verb.name: verb for verb in CARD.verbs}
    offered = {verb: names for (model, verb), names in OFFERS.items() if model == CARD.name}
    assert set(offered) <= set(listed)
    for verb, names in offered.items():
        assert set(listed[verb].parameters) <= set(names)
