"""The service's own sentences, in English and Chinese.
Knows no request and no pixels: names and numbers in, a sentence out."""

from __future__ import annotations

from typing import Final

from serve_app.core import Box, MeasuredDifference, Measurement, QuestionKind
from serve_app.schema import DifferenceKind, FocusStatus, Language, Verdict

OK: Final = "ok"

# `msg` of a failed request by error type; the Chinese ones are those of the service this one replaces.
_MESSAGES: Final[dict[str, dict[Language, str]]] = {
    "two_images_required": {"en": "Two images are required", "zh": "请提供两个文件进行对比"},
    "malformed_request": {"en": "The request can't be read", "zh": "请求格式错误"},
    "invalid_config": {"en": "The configuration is invalid", "zh": "对比配置无效"},
    "image_unreadable": {"en": "An image can't be processed", "zh": "图像处理失败"},
    "image_too_large": {"en": "An image is too large", "zh": "图像过大"},
    "unsupported_image_type": {"en": "The image type is not supported", "zh": "不支持的图像类型"},
    "body_too_large": {"en": "The request is too large", "zh": "请求过大"},
    "not_found": {"en": "Not found", "zh": "未找到"},
    "method_not_allowed": {"en": "Method not allowed", "zh": "不允许的请求方法"},
    "api_key_required": {"en": "An API key is required", "zh": "需要 API 密钥"},
    "not_allowed": {"en": "Not allowed", "zh": "无权访问"},
    "rate_limited": {"en": "Too many requests", "zh": "请求过于频繁"},
    "draining": {"en": "The service is stopping", "zh": "服务正在停止"},
    "not_ready": {"en": "The service is not ready", "zh": "服务尚未就绪"},
    "overloaded": {"en": "The service is overloaded", "zh": "服务繁忙"},
    "deadline_exceeded": {"en": "Processing timed out", "zh": "处理超时"},
    "internal": {"en": "Processing failed", "zh": "处理失败"},
}

_QUESTIONS: Final[dict[Language, dict[QuestionKind, str]]] = {
    "en": {
        "aspect": "aspect",
        "focus_element": "focus element",
        "region": "region",
        "findings": "other findings",
        "summary": "the summary",
    },
    "zh": {
        "aspect": "对比方面",
        "focus_element": "关注元素",
        "region": "区域",
        "findings": "其他发现",
        "summary": "总结",
    },
}

_KINDS: Final[dict[Language, dict[DifferenceKind, str]]] = {
    "en": {"changed": "changed", "added": "added", "removed": "removed", "moved": "moved"},
    "zh": {"changed": "发生变化", "added": "新增", "removed": "消失", "moved": "移动"},
}

_STATUSES: Final[dict[Language, dict[FocusStatus, str]]] = {
    "en": {
        "unchanged": "Nothing visible differs, so it is unchanged.",
        "unassessed": "Not assessed: no model looked for it.",
    },
    "zh": {"unchanged": "没有可见差异，因此未变化。", "unassessed": "未评估：没有模型查看该元素。"},
}


def message(error_type: str, language: Language) -> str:
    """The general sentence for an error type."""
    return _MESSAGES[error_type][language]


def summary(measurement: Measurement, verdict: Verdict, similarity: float, language: Language) -> str:
    """One short paragraph of what was measured, and what follows from it."""
    found = len(measurement.differences) + measurement.further_differences
    if language == "zh":
        outcome = {"match": "判定为一致", "mismatch": "判定为不一致", "uncertain": "无法确定"}[verdict]
        if measurement.identical:
            return f"两张图像解码后的像素完全相同，{outcome}。"
        if not found:
            return f"未发现可见差异，相似度 {similarity:.2f}，{outcome}。"
        places = f"发现 {found} 处可见差异，涉及 {measurement.changed_ratio:.2%} 的像素"
        return f"{places}，相似度 {similarity:.2f}，{outcome}。"
    outcome = {"match": "a match", "mismatch": "a mismatch", "uncertain": "too close to the threshold to tell"}[verdict]
    if measurement.identical:
        return f"The decoded pixels of both images are identical: {outcome}."
    if not found:
        return f"Nothing visible differs; similarity {similarity:.2f}: {outcome}."
    places = "1 visible difference" if found == 1 else f"{found} visible differences"
    share = f"{measurement.changed_ratio:.2%} of the pixels"
    return f"{places}, covering {share}; similarity {similarity:.2f}: {outcome}."


def difference(found: MeasuredDifference, language: Language) -> str:
    """Where and how large, for a difference no model has named."""
    box = found.reference_box or found.candidate_box or Box(0, 0, 1, 1)
    what = _KINDS[language][found.kind]
    if language == "zh":
        return f"位于 ({box.x}, {box.y})、大小 {box.width}×{box.height} 像素的区域{what}。"
    return f"The region of {box.width} x {box.height} px at ({box.x}, {box.y}) was {what}."


def measured_aspect(score: float | None, language: Language) -> str:
    """An aspect's explanation where no model gave one."""
    if score is None:
        return "仅凭像素无法衡量此方面。" if language == "zh" else "This aspect can't be measured from pixels alone."
    return f"由像素测得 {score:.2f}。" if language == "zh" else f"Measured {score:.2f} from the pixels."


def focus_element(status: FocusStatus, language: Language, *, asked: bool = False) -> str:
    """A focus element's explanation where no model gave one; `asked`: a model looked, and was not understood."""
    if asked and status == "unassessed":
        return "未评估：模型的回答无法读取。" if language == "zh" else "Not assessed: the model's answer can't be read."
    return _STATUSES[language][status]


def refuted(name: str, language: Language) -> str:
    """The model said that an element changed where no pixel differs visibly."""
    if language == "zh":
        return f"模型称“{name}”有变化，但该处像素没有可见差异，因此报告为未变化。"
    return f"The model said that “{name}” changed; no pixel differs visibly there, so it is reported as unchanged."


def unchanged_there(language: Language) -> str:
    """An element's explanation where no pixel around it differs visibly, though others do."""
    return (
        "该处没有可见差异，因此未变化。" if language == "zh" else "Nothing visible differs there, so it is unchanged."
    )


def overlooked(name: str, language: Language) -> str:
    """The model said that nothing happened to an element where most pixels differ visibly."""
    if language == "zh":
        return f"模型称“{name}”没有变化，但该处多数像素有可见差异。"
    return f"The model said that nothing happened to “{name}”; most pixels there differ visibly."


def refuted_finding(description: str, language: Language) -> str:
    """The model named a change where no pixel differs visibly."""
    if language == "zh":
        return f"模型提到“{description}”，但该处像素没有可见差异，因此未列出。"
    return f"The model named “{description}”; no pixel differs visibly there, so it is not listed."


def unreadable_choice(kind: QuestionKind, index: int, language: Language) -> str:
    """The model put next to no probability on the answers it was offered."""
    name = _asked(kind, index, language)
    return (
        f"对{name}，模型未选择任何给定选项。"
        if language == "zh"
        else f"The model chose none of the answers offered for {name}."
    )


def unreadable_order(kind: QuestionKind, index: int, language: Language) -> str:
    """So in one order of the pictures only."""
    name = _asked(kind, index, language)
    if language == "zh":
        return f"对{name}，模型在图片的一种先后顺序下未选择任何给定选项，因此其把握程度降低。"
    return (
        f"In one order of the pictures the model chose none of the answers offered for {name}: it counts as less sure."
    )


def stated(language: Language) -> str:
    """The model's server gives no probabilities, so each score follows from one word and an assumed certainty."""
    if language == "zh":
        return "模型服务器不提供概率：得分来自模型所选的词，其把握程度是假定的，而非测得的。"
    return "The model's server gives no probabilities: scores rest on the words it chose, how sure it was is assumed."


def unreadable_text(kind: QuestionKind, index: int, language: Language) -> str:
    """The model wrote something else than what was asked for."""
    name = _asked(kind, index, language)
    return f"对{name}，模型的文字无法读取。" if language == "zh" else f"The model wrote nothing readable for {name}."


def _asked(kind: QuestionKind, index: int, language: Language) -> str:
    name = _QUESTIONS[language][kind]
    if kind in ("summary", "findings"):
        return name
    return f"{name} {index + 1}"


def indifferent(language: Language) -> str:
    """At its start the model rated a picture like itself and an unrelated one about alike."""
    if language == "zh":
        return "该模型区分不了相同的图片和无关的图片，因此相似度区间放宽。"
    return "This model can't tell an equal picture from an unrelated one, so the similarity's interval is wider."


def unnamed(language: Language) -> str:
    """The model's higher scores were not taken over: it left measured differences unnamed."""
    if language == "zh":
        return "模型未说明所有测得的差异，因此相似度以测量为准。"
    return "The model left measured differences unnamed, so the measured similarity stands."


def unconfirmed(language: Language) -> str:
    """The model's scores sink a pair under the threshold, and it confirms none of the measured differences."""
    if language == "zh":
        return "模型评分低于像素测量结果，却未确认任何测得的差异，因此无法确定。"
    return "The model rates this pair lower than its pixels do and confirms none of the differences: it is uncertain."


def sees_ghosts(language: Language) -> str:
    """The model saw a change where nothing visible changed, so what it says of the other places is no evidence."""
    if language == "zh":
        return "模型在没有可见变化的位置也称有变化，因此它对各处差异的说明不作为依据。"
    return "The model also saw a change where no pixel differs visibly: what it says of the differences doesn't count."


def unexplained(language: Language) -> str:
    """An element's explanation where the model wrote none, or one that belongs to another status."""
    if language == "zh":
        return "模型没有给出与此结果相符的说明。"
    return "The model gave no explanation that fits this answer."


def model_missing(status: str, language: Language) -> str:
    """The report is the measurement alone, though a model was to look."""
    if language == "zh":
        return "模型未能及时作答，报告仅含测量结果。" if status == "timed_out" else "模型未能作答，报告仅含测量结果。"
    why = "did not answer in time" if status == "timed_out" else "could not answer"
    return f"The model {why}; this report is the measurement alone."


def clamped(asked_s: float, ceiling_s: float, language: Language) -> str:
    """The caller's `processing_timeout` was over the operator's ceiling."""
    if language == "zh":
        return f"processing_timeout {asked_s:g} 秒超过上限，按 {ceiling_s:g} 秒执行。"
    return f"processing_timeout of {asked_s:g} s is over this service's ceiling; {ceiling_s:g} s applied."
