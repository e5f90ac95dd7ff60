"""Which token is said next: by chance as it is wanted, or the likeliest."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from serve_app.core.conversation import Sampling
from serve_app.vlm.local.talking import sampling
from serve_app.vlm.local.talking.sampling import Sampler

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0])
ALL = torch.zeros(4, dtype=torch.bool)


def drawn(wanted: Sampling, count: int = 400, allowed: torch.Tensor | None = None) -> Counter[int]:
    sampler = Sampler(wanted, ALL)
    return Counter(sampler.choose(LOGITS, allowed) for _ in range(count))


def test_at_temperature_0_it_is_the_likeliest() -> None:
    assert drawn(Sampling(temperature=0), 20) == {0: 20}


@pytest.mark.parametrize("temperature", [1e-30, 0.01])
def test_near_temperature_0_it_is_the_likeliest_too(temperature: float) -> None:
    assert drawn(Sampling(temperature=temperature, seed=1), 20) == {0: 20}


def test_the_same_seed_draws_the_same() -> None:
    def series(seed: int) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), ALL)
        return [sampler.choose(LOGITS) for _ in range(30)]

    assert series(7) == series(7)
    assert series(7) != series(8)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    found = drawn(Sampling(seed=1), 4000)
    for token, share in enumerate(LOGITS.softmax(-1).tolist()):
        assert found[token] / 4000 == pytest.approx(share, abs=0.03)


def test_a_higher_temperature_spreads_them() -> None:
    assert drawn(Sampling(temperature=2, seed=1))[0] < drawn(Sampling(temperature=0.5, seed=1))[0]


def test_top_p_keeps_the_likeliest_that_hold_it_together() -> None:
    # 0.64, 0.24, 0.09, 0.03
    assert set(drawn(Sampling(top_p=0.6, seed=1))) == {0}
    assert set(drawn(Sampling(top_p=0.7, seed=1))) == {0, 1}
    assert set(drawn(Sampling(top_p=1e-320, seed=1))) == {0}


def test_what_is_banned_or_not_allowed_never_comes() -> None:
    banned = torch.tensor([True, False, False, False])
    sampler = Sampler(Sampling(seed=1), banned)
    allowed = torch.tensor([True, False, True, True])
    assert {sampler.choose(LOGITS, allowed) for _ in range(200)} == {2, 3}


def test_penalties_count_what_was_said() -> None:
    presence = Sampler(Sampling(temperature=0, presence_penalty=1.5), ALL)
    presence.said([0])
    assert presence.choose(LOGITS) == 1
    presence.said([0, 0, 1])
    assert presence.choose(LOGITS) == 0  # 2 - 1.5 against 1 - 1.5 and 0: that it came often is another penalty's
    frequency = Sampler(Sampling(temperature=0, frequency_penalty=0.6), ALL)
    frequency.said([0])
    assert frequency.choose(LOGITS) == 0
    frequency.said([0])
    assert frequency.choose(LOGITS) == 1


def test_the_logits_stay_as_they_are() -> None:
    before = LOGITS.clone()
    sampler = Sampler(Sampling(seed=1, frequency_penalty=1, top_p=0.5), ALL)
    sampler.said([0])
    sampler.choose(LOGITS)
    assert torch.equal(LOGITS, before)


def test_log_probabilities_are_the_models_own() -> None:
    found = sampling.logprobs(LOGITS, 2, 2)
    logs = LOGITS.log_softmax(-1).tolist()
    assert found.chosen == pytest.approx(logs[2])
    assert [token for token, _ in found.others] == [0, 1]
    assert [logprob for _, logprob in found.others] == pytest.approx(logs[:2])
    assert sampling.logprobs(LOGITS, 2, 0).others == ()
