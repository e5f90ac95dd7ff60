"""What a model may write: on a tokenizer whose tokens run over the joints of JSON, as real vocabularies' do."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("torch", reason="needs the extra [vl]")
pytest.importorskip("transformers", reason="needs the extra [vl]")
pytest.importorskip("llguidance", reason="needs the extra [vl]")

import llguidance
import llguidance.hf
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from serve_app.core.inquiry import FINDING_KINDS, MAX_FINDINGS, Question, Wording
from serve_app.vlm.local import grammar
from serve_app.vlm.local.decoding.branches import most_likely
from serve_app.vlm.local.grammar import JsonText, Writing

LABELS = Wording("?", ("none", "small"))
ASPECT = Question("aspect", 0, (LABELS,))
FOCUS = Question("focus_element", 0, (LABELS,), "boxed_text")
REGION = Question("region", 0, (LABELS,))
FINDINGS = Question("findings", 0, (Wording("?"),), "findings")
SUMMARY = Question("summary", 0, (Wording("?"),))
QUESTIONS = (ASPECT, FOCUS, REGION, FINDINGS, SUMMARY)
FINDING_TOKENS = 5


def _corpus() -> Iterator[str]:
    for key in ("explanation", "description", "summary"):
        yield from [f'{{"answer":"none","{key}":"The label. 它变了"}}', f'{{"{key}":"no"}}'] * 20
    for kind in FINDING_KINDS:
        yield from [f'{{"findings":[{{"kind":"{kind}","box":[1,23,456,7],"description":"x"}}]}}'] * 20
    yield from ['{"findings":[]}', '{"answer":"same","box":null,"explanation":"x"}', '[[1],[2]] {"a":[3]}'] * 20


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Runs of marks go together, as in Qwen's, Llama's and DeepSeek's vocabularies: `":[` and `":[{"` are tokens."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=450, initial_alphabet=alphabet, show_progress=False, special_tokens=["<e>"]
    )
    inner.train_from_iterator(_corpus(), trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<e>")


@pytest.fixture
def ids(tokenizer: transformers.PreTrainedTokenizerFast) -> Callable[[str], list[int]]:
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.fixture(scope="module")
def texts(tokenizer: transformers.PreTrainedTokenizerFast) -> JsonText:
    return JsonText(tokenizer, len(tokenizer) + 3, FINDING_TOKENS, torch.device("cpu"))


def first_continuations(question: Question) -> list[str]:
    if question.shape == "findings":
        return ['":[]}', *(f'":[{{"kind":"{kind}","box":[' for kind in FINDING_KINDS)]
    if question.shape == "boxed_text":
        return [f'":null,"{question.text_key}":"', *(f'":[{digit},' for digit in string.digits)]
    return [*string.ascii_letters, *string.digits, *"它无é", r"\""]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.kind)
def test_an_opening_ends_at_a_tokens_end_whatever_follows(
    question: Question, ids: Callable[[str], list[int]], texts: JsonText
) -> None:
    before = '{"answer":"none' if question.num_labels else ""
    given = before + grammar.opening(question)
    assert ids(before) + ids(grammar.opening(question)) == ids(given)
    for more in first_continuations(question):
        whole = ids(given + more)
        assert whole[: len(ids(given))] == ids(given), more
        text = texts.begin(question)
        for token in whole[len(ids(given)) :]:
            assert text.matcher.consume_token(token), more


@pytest.mark.parametrize(
    ("given", "more"), [('","box":', "[12"), ('{"findings":[', "]}"), ('{"findings":[', '{"kind"')]
)
def test_openings_that_cut_a_token_would_be_found(given: str, more: str, ids: Callable[[str], list[int]]) -> None:
    """The ones that stood here before: behind them a model never saw a box begin."""
    assert ids(given + more)[: len(ids(given))] != ids(given)


def written(question: Question, texts: JsonText, seed: int, most: int = 400) -> Writing:
    """By a model that likes everything equally well."""
    generator = torch.Generator().manual_seed(seed)
    text = texts.begin(question)
    while not text.is_done and len(text.tokens) < most:
        logits = torch.rand(1, texts.vocabulary_size, generator=generator)
        text.accept(most_likely(logits, texts.masks([text]))[0])
    return text


@pytest.mark.parametrize("question", [FOCUS, FINDINGS], ids=lambda question: question.kind)
def test_whatever_a_model_likes_is_json_of_the_asked_shape(
    question: Question, texts: JsonText, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    before = '{"answer":"none' if question.num_labels else ""
    whole = 0
    for seed in range(20):
        text = written(question, texts, seed)
        if text.is_done:
            whole += 1
            value = json.loads(before + grammar.opening(question) + tokenizer.decode(text.tokens))
            if question is FOCUS:
                assert list(value) == ["answer", "box", "explanation"]
                assert value["box"] is None or all(0 <= number <= 9999 for number in value["box"])
            else:
                assert len(value["findings"]) <= MAX_FINDINGS
                assert all(list(one) == ["kind", "box", "description"] for one in value["findings"])
    assert whole > 5


def test_a_findings_description_ends_at_its_tokens(
    texts: JsonText, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    """A model that never ends a text by itself: without the bound, one description would take the place of all."""
    text = texts.begin(FINDINGS)
    likes = torch.zeros(1, texts.vocabulary_size)
    for token, number in tokenizer.get_vocab().items():
        likes[0, number] = 2 if token == "x" else token.startswith(('":[{', ",", '"}'))
    while not text.is_done and len(text.tokens) < 500:
        text.accept(most_likely(likes, texts.masks([text]))[0])
    findings = json.loads(grammar.opening(FINDINGS) + tokenizer.decode(text.tokens))["findings"]
    assert len(findings) == MAX_FINDINGS
    assert all(len(finding["description"]) == FINDING_TOKENS for finding in findings)


def test_a_text_goes_on_until_its_writer_stops_it(
    texts: JsonText, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    text = texts.begin(ASPECT)
    letter = tokenizer.convert_tokens_to_ids("x")
    for _ in range(2000):
        text.accept(letter)
    assert not text.is_done


def test_masks_of_many_texts_are_those_of_each(texts: JsonText) -> None:
    several = [written(question, texts, 3, most=2) for question in QUESTIONS] * 2
    several = [Writing(text.matcher.deep_copy()) for text in several]
    together = texts.masks(several).clone()
    for mask, text in zip(together, several, strict=True):
        own = torch.frombuffer(bytearray(text.matcher.compute_bitmask()), dtype=torch.int32)
        assert torch.equal(mask, own)


def test_the_likeliest_allowed_token_is_taken() -> None:
    logits = torch.tensor([[5.0, 4.0, 3.0] + [0.0] * 32, [0.0] * 34 + [9.0]])
    masks = torch.tensor([[0b110, 0], [1 << 3, 0b100]], dtype=torch.int32)
    assert most_likely(logits, masks) == [1, 34]


@pytest.mark.parametrize("question", [ASPECT, FOCUS], ids=lambda question: question.kind)
def test_masks_cost_the_same_all_along_a_text(
    question: Question, tokenizer: transformers.PreTrainedTokenizerFast
) -> None:
    """A bound on characters is counted by the matcher: each place in the text is a state of its own with its own mask.

    The states of a text of any length are few; with a bound of 500 characters they are over after a few tokens.
    """
    own = llguidance.hf.from_tokenizer(tokenizer)
    few = llguidance.LLParserLimits(max_lexer_states=100)
    grammar_text = llguidance.LLMatcher.grammar_from_lark(grammar.rest(question, FINDING_TOKENS))
    matcher = llguidance.LLMatcher(own, grammar_text, log_level=0, limits=few)
    for token in tokenizer(first_continuations(question)[0] + "x" * 500, add_special_tokens=False)["input_ids"]:
        assert matcher.consume_token(token), matcher.get_error()
        matcher.compute_bitmask()
