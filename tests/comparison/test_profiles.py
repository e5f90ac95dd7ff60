"""Thresholds by name: what a profile decides, what wins over it, and that a report tells of it."""

from __future__ import annotations

import pickle

import pytest

import pairlens
from serve_app.comparison.profiles import applied
from serve_app.errors import InvalidConfig
from serve_app.schema import ImageComparisonConfig
from serve_app.settings import Profile, Settings
from tests.worlds.samples import card, encoded

SHOP = Profile(similarity_threshold=0.99, max_differences=3, made={"pairs": 40})
A, B = encoded(card()), encoded(card("red"))


def asked(text: str) -> ImageComparisonConfig:
    return ImageComparisonConfig.model_validate_json(text)


def test_a_profile_gives_its_thresholds() -> None:
    config = applied(asked('{"profile": "shop"}'), {"shop": SHOP})
    assert (config.similarity_threshold, config.max_differences, config.max_changed_ratio) == (0.99, 3, None)
    assert config.profile == "shop"


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_a_field_given_beside_it_wins_even_with_its_default(threshold: float) -> None:
    config = applied(
        asked(f'{{"profile": "shop", "similarity_threshold": {threshold}, "max_differences": null}}'), {"shop": SHOP}
    )
    assert (config.similarity_threshold, config.max_differences) == (threshold, None)


def test_what_was_applied_stays_when_the_profile_changes() -> None:
    config = applied(asked('{"profile": "shop"}'), {"shop": SHOP})
    sent: ImageComparisonConfig = pickle.loads(pickle.dumps(config))  # as it crosses processes
    kept = asked(config.model_dump_json())  # as a job keeps it
    other = {"shop": Profile(similarity_threshold=0.1)}
    assert applied(sent, other).similarity_threshold == 0.99
    assert applied(kept, other) == kept


def test_a_config_without_a_profile_is_left_alone() -> None:
    config = asked("{}")
    assert applied(config, {"shop": SHOP}) is config


def test_an_unknown_name_is_refused_with_those_there_are_and_not_echoed() -> None:
    with pytest.raises(InvalidConfig, match=r"^There is no profile of this name; there are print, shop\.$") as refused:
        applied(asked('{"profile": "<script>"}'), {"shop": SHOP, "print": SHOP})
    assert refused.value.field == "/config/profile"
    with pytest.raises(InvalidConfig, match="this service has none"):
        applied(asked('{"profile": "shop"}'), {})
    with pytest.raises(InvalidConfig, match="p19 and 5 more"):
        applied(asked('{"profile": "shop"}'), {f"p{number:02}": SHOP for number in range(25)})


def test_a_report_in_this_process_tells_its_profile_and_follows_it() -> None:
    def report(profile: Profile) -> pairlens.ComparisonReport:
        return pairlens.compare(A, B, asked('{"profile": "shop"}'), Settings(profiles={"shop": profile}))

    strict, lenient = report(SHOP), report(Profile(similarity_threshold=0.1))
    assert (strict.profile, strict.similarity_threshold, strict.max_differences) == ("shop", 0.99, 3)
    assert (strict.verdict, lenient.verdict) == ("mismatch", "match")
    assert strict.report_id != lenient.report_id
