"""The service's own sentences: one value a language, so that another language is one value more.
Knows no request and no pixels: names and numbers in, a sentence out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from serve_app.core.inquiry import QuestionKind
from serve_app.core.measured import MeasuredDifference, Measurement, Tone
from serve_app.core.pictures import Box, Unseen, UnseenKind
from serve_app.core.reading import ElementText, TextChange
from serve_app.errors import ImageRole
from serve_app.schema import DifferenceKind, FocusStatus, Language, Verdict

MOST_TEXTS: Final = 3  # told in one sentence after the other; of the rest, how many
TextWord = Literal["changed", "added", "removed", "moved", "same", "code changed", "code added", "code removed"]
_INNER_QUOTES: Final = str.maketrans('"“”', "'‘’")
LightWord = Literal["lighter", "darker", "more contrast", "less contrast", "uneven", "cast", "curve", "joint"]


@dataclass(frozen=True, slots=True)
class Sentences:
    """All that the report says by itself. Fields in braces are filled in by the methods below."""

    # The summary: what was measured, and what follows from it.
    verdicts: Mapping[Verdict, str]
    identical: str
    nothing_differs: str
    one_differs: str
    several_differ: str
    # A difference that no model has named: where and how large.
    kinds: Mapping[DifferenceKind, str]
    region: str
    # What was read there; what of it, in one place, is not told.
    texts: Mapping[TextWord, str]
    one_more_text: str
    more_texts: str
    # Another light on everything: what of it, joined.
    light: str
    lights: Mapping[LightWord, str]
    # An aspect's explanation where no model gave one.
    measured: str
    unmeasured: str
    letters: str
    no_letters: str
    # A focus element's explanation: nothing visible differs; nothing around it; no model looked; it was not understood;
    # what it wrote belongs to another status.
    unchanged: str
    unchanged_there: str
    unassessed: str
    unreadable_element: str
    unexplained: str
    # The same where its text was read.
    read_elements: Mapping[FocusStatus, str]
    # Warnings: what the model said against the text read: of an element; of a place.
    misread: str
    misquoted: str
    # Warnings: what the model said against the pixels.
    refuted: str
    overlooked: str
    refuted_finding: str
    # Warnings: what of its answers could not be read, in both orders of the pictures or in one, or was assumed.
    questions: Mapping[QuestionKind, str]
    unreadable_choice: str
    unreadable_order: str
    unreadable_text: str
    assumed: str
    # Warnings: the model can't tell pictures apart; left measured differences unnamed; rates a pair lower than its
    # pixels and confirms none of them; sees changes that aren't there.
    indifferent: str
    unnamed: str
    unconfirmed: str
    sees_ghosts: str
    # Warnings, and in the summary: what of the files wasn't compared; whose it is.
    unseen: Mapping[UnseenKind, str]
    whose: Mapping[tuple[ImageRole, ...], str]
    # Warnings: the report is the measurement alone; the caller's time was over the operator's ceiling.
    timed_out: str
    failed: str
    clamped: str
    # Warnings: an ignored region that ignores nothing; regions that ignore everything.
    ignored_outside: str
    all_ignored: str

    def summary(self, measurement: Measurement, verdict: Verdict, similarity: float) -> str:
        """One short paragraph."""
        found = len(measurement.differences) + measurement.further_differences
        if measurement.identical:
            sentence = self.identical
        elif not found:
            sentence = self.nothing_differs
        else:
            sentence = self.one_differs if found == 1 else self.several_differ
        return sentence.format(
            found=found, share=measurement.changed_ratio, similarity=similarity, outcome=self.verdicts[verdict]
        )

    def unseen_parts(self, found: Mapping[Unseen, tuple[ImageRole, ...]]) -> tuple[str, ...]:
        return tuple(
            self.unseen[each.kind].format(whose=self.whose[roles], detail=each.detail) for each, roles in found.items()
        )

    def joined(self, first: str, *further: str) -> str:
        """Sentences as one paragraph; those that end with a full-width stop need no space."""
        return (" " if first[-1:].isascii() else "").join((first, *further))

    def light_of(self, tone: Tone) -> str:
        parts: tuple[tuple[LightWord, float, float], ...] = (
            ("lighter" if tone.brightness > 0 else "darker", abs(tone.brightness), 0.01),
            ("more contrast" if tone.contrast > 0 else "less contrast", abs(math.expm1(tone.contrast)), 0.03),
            ("uneven", tone.gradient, 0.03),
            ("cast", tone.cast, 0.01),
        )
        told = [self.lights[word].format(share=share) for word, share, least in parts if share >= least]
        return self.light.format(what=self.lights["joint"].join(told) or self.lights["curve"])

    def difference(self, found: MeasuredDifference) -> str:
        if found.tone is not None:
            return self.light_of(found.tone)
        box = found.reference_box or found.candidate_box or Box(0, 0, 1, 1)
        return self.region.format(box=box, what=self.kinds[found.kind])

    def text(self, found: TextChange) -> str:
        """What became of one text, in its changed words where both pictures have some."""
        before, after = found.reference, found.candidate
        if found.reference_word and found.candidate_word:
            before, after = found.reference_word, found.candidate_word
        names = {"reference": _within_quotes(before or after), "candidate": _within_quotes(after or before)}
        return self.texts[_text_word(found)].format(**names)

    def some_texts(self, found: Sequence[TextChange]) -> tuple[str, ...]:
        """A sentence for each of the first, and one for the rest."""
        told = tuple(self.text(each) for each in found[:MOST_TEXTS])
        rest = len(found) - len(told)
        if not rest:
            return told
        return (*told, self.one_more_text if rest == 1 else self.more_texts.format(found=rest))

    def read_element(self, found: ElementText) -> str:
        before, after = found.reference, found.candidate
        return self.read_elements[found.status].format(
            reference=_within_quotes(before or after), candidate=_within_quotes(after or before)
        )

    def letters_kept(self, share: float | None) -> str:
        return self.no_letters if share is None else self.letters.format(score=share)

    def measured_aspect(self, score: float | None) -> str:
        return self.unmeasured if score is None else self.measured.format(score=score)

    def unsaid_element(self, status: FocusStatus, *, asked: bool) -> str:
        """`asked`: a model looked, and was not understood."""
        if status == "unchanged":
            return self.unchanged
        return self.unreadable_element if asked else self.unassessed

    def asked(self, kind: QuestionKind, index: int) -> str:
        """What a question was about."""
        name = self.questions[kind]
        return name if kind in ("summary", "findings") else f"{name} {index + 1}"


def _within_quotes(text: str | None) -> str:
    """So that it can't end the quotation itself."""
    return (text or "").translate(_INNER_QUOTES)


def _text_word(found: TextChange) -> TextWord:
    if found.kind != "code":
        return found.kind
    if found.reference is None:
        return "code added"
    return "code removed" if found.candidate is None else "code changed"


_ENGLISH: Final = Sentences(
    verdicts={"match": "a match", "mismatch": "a mismatch", "uncertain": "too close to the threshold to tell"},
    identical="The decoded pixels of both images are identical: {outcome}.",
    nothing_differs="Nothing visible differs; similarity {similarity:.2f}: {outcome}.",
    one_differs="1 visible difference, covering {share:.2%} of the pixels; similarity {similarity:.2f}: {outcome}.",
    several_differ=(
        "{found} visible differences, covering {share:.2%} of the pixels; similarity {similarity:.2f}: {outcome}."
    ),
    kinds={"changed": "changed", "added": "added", "removed": "removed", "moved": "moved"},
    texts={
        "changed": 'Text changed from "{reference}" to "{candidate}".',
        "added": 'Text "{candidate}" was added.',
        "removed": 'Text "{reference}" was removed.',
        "moved": 'Text "{candidate}" was moved.',
        "same": '"{candidate}" looks different; its words are the same.',
        "code changed": 'The code changed from "{reference}" to "{candidate}".',
        "code added": 'The code "{candidate}" was added.',
        "code removed": 'The code "{reference}" was removed.',
    },
    one_more_text="1 more change of text.",
    more_texts="{found} more changes of text.",
    light="The light of the whole picture is another: {what}.",
    lights={
        "lighter": "brighter by {share:.0%}",
        "darker": "darker by {share:.0%}",
        "more contrast": "contrast up by {share:.0%}",
        "less contrast": "contrast down by {share:.0%}",
        "uneven": "uneven across the frame by {share:.0%}",
        "cast": "another white balance, by {share:.0%}",
        "curve": "another tone curve",
        "joint": ", ",
    },
    region="The region of {box.width} x {box.height} px at ({box.x}, {box.y}) was {what}.",
    measured="Measured {score:.2f} from the pixels.",
    unmeasured="This aspect can't be measured from pixels alone.",
    letters="Measured {score:.2f} from the text read: the share of letters that are the same.",
    no_letters="Not measured: no text was read.",
    unchanged="Nothing visible differs, so it is unchanged.",
    unchanged_there="Nothing visible differs there, so it is unchanged.",
    unassessed="Not assessed: no model looked for it.",
    unreadable_element="Not assessed: the model's answer can't be read.",
    unexplained="The model gave no explanation that fits this answer.",
    read_elements={
        "unchanged": 'Read as "{candidate}" in both pictures.',
        "changed": 'Read as "{reference}" in the reference and as "{candidate}" in the candidate.',
        "added": 'Read as "{candidate}" in the candidate only.',
        "removed": 'Read as "{reference}" in the reference only.',
        "absent": "Read in neither picture.",
        "unassessed": "Not read for sure.",
    },
    misread="What the model said of “{name}” contradicts the text read, which stands.",
    misquoted="The model named “{description}”; other text was read there, so its words aren't used.",
    refuted="The model said that “{name}” changed; no pixel differs visibly there, so it is reported as unchanged.",
    overlooked="The model said that nothing happened to “{name}”; most pixels there differ visibly.",
    refuted_finding="The model named “{description}”; no pixel differs visibly there, so it is not listed.",
    questions={
        "aspect": "aspect",
        "focus_element": "focus element",
        "region": "region",
        "findings": "other findings",
        "summary": "the summary",
    },
    unreadable_choice="The model chose none of the answers offered for {asked}.",
    unreadable_order=(
        "In one order of the pictures the model chose none of the answers offered for {asked}: it counts as less sure."
    ),
    unreadable_text="The model wrote nothing readable for {asked}.",
    assumed="The model's server gives no probabilities: scores rest on the words it chose, how sure it was is assumed.",
    indifferent=(
        "This model can't tell an equal picture from an unrelated one, so the similarity's interval is wider."
    ),
    unnamed="The model left measured differences unnamed, so the measured similarity stands.",
    unconfirmed=(
        "The model rates this pair lower than its pixels do and confirms none of the differences: it is uncertain."
    ),
    sees_ghosts=(
        "The model also saw a change where no pixel differs visibly: what it says of the differences doesn't count."
    ),
    unseen={
        "frames": "Only frame {detail}, counted from 0, of {whose} was compared: its other frames weren't looked at.",
        "pages": "Only page {detail}, counted from 0, of {whose} was compared: its other pages weren't looked at.",
        "bits": "More than 8 bits a sample in {whose}: differences finer than 8 bits weren't looked at.",
        "range": "No sample of {whose} needs more than {detail} of its 16 bits, so it was compared as nearly black.",
        "hdr": "HDR ({detail} transfer) in {whose} isn't applied: the samples were compared as if they were sRGB.",
        "colour": "The colour tag of {whose} ({detail}) isn't applied: the samples were compared as if they were sRGB.",
    },
    whose={
        ("reference",): "the reference",
        ("candidate",): "the candidate",
        ("reference", "candidate"): "each of the two files",
    },
    timed_out="The model did not answer in time; this report is the measurement alone.",
    failed="The model could not answer; this report is the measurement alone.",
    clamped="processing_timeout of {asked_s:g} s is over this service's ceiling; {ceiling_s:g} s applied.",
    ignored_outside=(
        "ignore_regions[{index}], {region}, lies outside the reference of {width}x{height} px: it ignores nothing."
    ),
    all_ignored="The ignored regions cover the whole reference: nothing was compared.",
)

_CHINESE: Final = Sentences(
    verdicts={"match": "判定为一致", "mismatch": "判定为不一致", "uncertain": "无法确定"},
    identical="两张图像解码后的像素完全相同，{outcome}。",
    nothing_differs="未发现可见差异，相似度 {similarity:.2f}，{outcome}。",
    one_differs="发现 1 处可见差异，涉及 {share:.2%} 的像素，相似度 {similarity:.2f}，{outcome}。",
    several_differ="发现 {found} 处可见差异，涉及 {share:.2%} 的像素，相似度 {similarity:.2f}，{outcome}。",
    kinds={"changed": "发生变化", "added": "新增", "removed": "消失", "moved": "移动"},
    texts={
        "changed": "文字由“{reference}”变为“{candidate}”。",
        "added": "新增文字“{candidate}”。",
        "removed": "文字“{reference}”消失。",
        "moved": "文字“{candidate}”移动了位置。",
        "same": "“{candidate}”的外观改变，文字未变。",
        "code changed": "条码由“{reference}”变为“{candidate}”。",
        "code added": "新增条码“{candidate}”。",
        "code removed": "条码“{reference}”消失。",
    },
    one_more_text="另有 1 处文字变化。",
    more_texts="另有 {found} 处文字变化。",
    light="整幅图像的光照不同：{what}。",
    lights={
        "lighter": "变亮 {share:.0%}",
        "darker": "变暗 {share:.0%}",
        "more contrast": "对比度增加 {share:.0%}",
        "less contrast": "对比度降低 {share:.0%}",
        "uneven": "画面明暗不均 {share:.0%}",
        "cast": "白平衡偏移 {share:.0%}",
        "curve": "影调曲线不同",
        "joint": "，",
    },
    region="位于 ({box.x}, {box.y})、大小 {box.width}×{box.height} 像素的区域{what}。",
    measured="由像素测得 {score:.2f}。",
    unmeasured="仅凭像素无法衡量此方面。",
    letters="由读到的文字测得 {score:.2f}，即相同文字所占的比例。",
    no_letters="未测量：没有读到文字。",
    unchanged="没有可见差异，因此未变化。",
    unchanged_there="该处没有可见差异，因此未变化。",
    unassessed="未评估：没有模型查看该元素。",
    unreadable_element="未评估：模型的回答无法读取。",
    unexplained="模型没有给出与此结果相符的说明。",
    read_elements={
        "unchanged": "两张图中均读作“{candidate}”。",
        "changed": "基准图中读作“{reference}”，对比图中读作“{candidate}”。",
        "added": "仅在对比图中读到“{candidate}”。",
        "removed": "仅在基准图中读到“{reference}”。",
        "absent": "两张图中均未读到。",
        "unassessed": "未能确切读出。",
    },
    misread="模型对“{name}”的判断与读到的文字不符，以读到的文字为准。",
    misquoted="模型提到“{description}”，但该处读到的是其他文字，因此未采用其说法。",
    refuted="模型称“{name}”有变化，但该处像素没有可见差异，因此报告为未变化。",
    overlooked="模型称“{name}”没有变化，但该处多数像素有可见差异。",
    refuted_finding="模型提到“{description}”，但该处像素没有可见差异，因此未列出。",
    questions={
        "aspect": "对比方面",
        "focus_element": "关注元素",
        "region": "区域",
        "findings": "其他发现",
        "summary": "总结",
    },
    unreadable_choice="对{asked}，模型未选择任何给定选项。",
    unreadable_order="对{asked}，模型在图片的一种先后顺序下未选择任何给定选项，因此其把握程度降低。",
    unreadable_text="对{asked}，模型的文字无法读取。",
    assumed="模型服务器不提供概率：得分来自模型所选的词，其把握程度是假定的，而非测得的。",
    indifferent="该模型区分不了相同的图片和无关的图片，因此相似度区间放宽。",
    unnamed="模型未说明所有测得的差异，因此相似度以测量为准。",
    unconfirmed="模型评分低于像素测量结果，却未确认任何测得的差异，因此无法确定。",
    sees_ghosts="模型在没有可见变化的位置也称有变化，因此它对各处差异的说明不作为依据。",
    unseen={
        "frames": "{whose}只比较了第 {detail} 帧（从 0 起），其他帧未查看。",
        "pages": "{whose}只比较了第 {detail} 页（从 0 起），其他页未查看。",
        "bits": "{whose}每个样本超过 8 位，比 8 位更细的差异未查看。",
        "range": "{whose}的样本为 16 位却只用到其中 {detail} 位，按接近全黑的原值比较。",
        "hdr": "{whose}带有 HDR 标记（{detail} 传递函数），未予应用，样本按 sRGB 比较。",
        "colour": "{whose}的颜色标记（{detail}）未予应用，样本按 sRGB 比较。",
    },
    whose={("reference",): "基准图", ("candidate",): "对比图", ("reference", "candidate"): "两个文件"},
    timed_out="模型未能及时作答，报告仅含测量结果。",
    failed="模型未能作答，报告仅含测量结果。",
    clamped="processing_timeout {asked_s:g} 秒超过上限，按 {ceiling_s:g} 秒执行。",
    ignored_outside="ignore_regions[{index}]（{region}）位于 {width}×{height} 像素的基准图之外，未忽略任何内容。",
    all_ignored="忽略区域覆盖了整张基准图，未比较任何内容。",
)

SENTENCES: Final[Mapping[Language, Sentences]] = {"en": _ENGLISH, "zh": _CHINESE}
