"""`msg` of the envelope: the general sentence for an error, by its type and the caller's language.
Knows no request; imports nothing large, because Serve's proxy says these sentences too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serve_app.schema import Language

OK: Final = "ok"
ACCEPTED: Final = "accepted"

# By error type; the Chinese ones are those of the service this one replaces.
MESSAGES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "two_images_required": "Two images are required",
        "malformed_request": "The request can't be read",
        "context_length_exceeded": "The conversation is too long",
        "invalid_config": "The configuration is invalid",
        "invalid_manifest": "The list of pairs is invalid",
        "image_unreadable": "An image can't be processed",
        "image_too_large": "An image is too large",
        "pdf_rejected": "A PDF can't be processed",
        "image_url_refused": "An image's URL is not allowed",
        "image_url_failed": "An image can't be fetched",
        "unsupported_image_type": "The image type is not supported",
        "body_too_large": "The request is too large",
        "not_found": "Not found",
        "model_not_found": "The model is not served here",
        "method_not_allowed": "Method not allowed",
        "api_key_required": "An API key is required",
        "not_allowed": "Not allowed",
        "rate_limited": "Too many requests",
        "draining": "The service is stopping",
        "not_ready": "The service is not ready",
        "overloaded": "The service is overloaded",
        "deadline_exceeded": "Processing timed out",
        "idempotency_conflict": "The idempotency key is taken",
        "already_ended": "The job has ended",
        "expired": "The job has expired",
        "storage_full": "The storage is full",
        "internal": "Processing failed",
    },
    "zh": {
        "two_images_required": "请提供两个文件进行对比",
        "malformed_request": "请求格式错误",
        "context_length_exceeded": "对话过长",
        "invalid_config": "对比配置无效",
        "invalid_manifest": "对比清单无效",
        "image_unreadable": "图像处理失败",
        "image_too_large": "图像过大",
        "pdf_rejected": "PDF 处理失败",
        "image_url_refused": "不允许的图像网址",
        "image_url_failed": "无法获取图像",
        "unsupported_image_type": "不支持的图像类型",
        "body_too_large": "请求过大",
        "not_found": "未找到",
        "model_not_found": "未提供该模型",
        "method_not_allowed": "不允许的请求方法",
        "api_key_required": "需要 API 密钥",
        "not_allowed": "无权访问",
        "rate_limited": "请求过于频繁",
        "draining": "服务正在停止",
        "not_ready": "服务尚未就绪",
        "overloaded": "服务繁忙",
        "deadline_exceeded": "处理超时",
        "idempotency_conflict": "幂等键已被使用",
        "already_ended": "任务已结束",
        "expired": "任务已过期",
        "storage_full": "存储空间不足",
        "internal": "处理失败",
    },
}


def message(error_type: str, language: Language) -> str:
    """The general sentence for an error type of `errors`."""
    return MESSAGES[language][error_type]
