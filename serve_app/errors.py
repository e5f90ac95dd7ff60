"""Every refusal and failure a caller can meet, each with its HTTP status and contract `type`.
No HTTP, no Ray: the tree is drawn here and turned into an envelope in `api`.

ComparisonError                     500 internal
├── MalformedRequest                400 malformed_request
│   ├── TwoImagesRequired           400 two_images_required
│   └── ContextTooLong              400 context_length_exceeded
├── ApiKeyRequired                  401 api_key_required
├── NotAllowed                      403 not_allowed
├── NotFound                        404 not_found
│   └── ModelNotFound               404 model_not_found
├── MethodNotAllowed                405 method_not_allowed
├── IdempotencyConflict             409 idempotency_conflict
├── AlreadyEnded                    409 already_ended
├── Expired                         410 expired
├── BodyTooLarge                    413 body_too_large
├── InvalidConfig                   422 invalid_config
├── ManifestRejected                422 invalid_manifest
├── ImageRejected                   422 image_unreadable
│   ├── UnsupportedImageType        415 unsupported_image_type
│   ├── ImageTooLarge               422 image_too_large
│   └── PdfRejected                 422 pdf_rejected
├── ImageUrlRefused                 422 image_url_refused
├── ImageUrlFailed                  422 image_url_failed
├── RateLimited                     429 rate_limited
├── Unavailable                     503 not_ready
│   ├── WorkerLost                  503 not_ready
│   ├── Overloaded                  503 overloaded
│   └── Draining                    503 draining
├── DeadlineExceeded                504 deadline_exceeded
├── StorageFull                     507 storage_full
└── ModelFailed                     500 internal
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

ImageRole = Literal["reference", "candidate"]


class ComparisonError(Exception):
    """A failure with a sentence meant for the caller.

    `detail` is the only positional argument and everything else lives in `__dict__`, so that
    an error survives pickling on its way through a Serve handle. Whoever raises it has
    logged the cause: the sentence never holds text of an engine, a path or an address.
    """

    type: str = "internal"  # of the class; a client that meets one of a later version says it of the error alone
    status: int = 500
    request_id: str | None = None  # where a server refused, its name for the request
    faults: tuple[str, ...] | None = None  # of a list: all that is wrong with it, a sentence each

    def __init__(
        self,
        detail: str,
        *,
        image: ImageRole | None = None,
        field: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.image = image
        self.field = field
        self.retry_after_s = retry_after_s

    def bare(self) -> Self:
        """This error without its history: fit to be kept, or handed on as a value.

        A traceback holds every frame that the error came through, and each frame its pixels: 40 refused pictures of
        373 KB kept 6 GB until Python's cyclic collection, because a frame that awaits a task holds the task's error.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class MalformedRequest(ComparisonError):
    """The body is not one of the forms the contract lists."""

    type = "malformed_request"
    status = 400


class TwoImagesRequired(MalformedRequest):
    """Not exactly two images came."""

    type = "two_images_required"


class ContextTooLong(MalformedRequest):
    """A conversation of more tokens than the model can hold."""

    type = "context_length_exceeded"


class ApiKeyRequired(ComparisonError):
    """The operator has set keys, and none came."""

    type = "api_key_required"
    status = 401


class NotAllowed(ComparisonError):
    """The key that came is not one of the operator's."""

    type = "not_allowed"
    status = 403


class NotFound(ComparisonError):
    """No such route, or nothing there that this caller may know of."""

    type = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """A conversation names a model that isn't served here."""

    type = "model_not_found"


class MethodNotAllowed(ComparisonError):
    """The route exists, for another method."""

    type = "method_not_allowed"
    status = 405


class IdempotencyConflict(ComparisonError):
    """The caller has used this Idempotency-Key for another body."""

    type = "idempotency_conflict"
    status = 409


class AlreadyEnded(ComparisonError):
    """The job has ended, so there is nothing to cancel or to repeat."""

    type = "already_ended"
    status = 409


class Expired(ComparisonError):
    """There was such a job; what it left is deleted."""

    type = "expired"
    status = 410


class BodyTooLarge(ComparisonError):
    """The request body is over the operator's limit."""

    type = "body_too_large"
    status = 413


class InvalidConfig(ComparisonError):
    """A config field is unknown or out of range; `field` points at it."""

    type = "invalid_config"
    status = 422


class ManifestRejected(ComparisonError):
    """A list of pairs can't be used; `faults` says all that is wrong with it, each with its line."""

    type = "invalid_manifest"
    status = 422


class ImageRejected(ComparisonError):
    """The upload is not an image we are willing to decode."""

    type = "image_unreadable"
    status = 422


class UnsupportedImageType(ImageRejected):
    """A format that is not on the operator's list, whatever the file's name says."""

    type = "unsupported_image_type"
    status = 415


class ImageTooLarge(ImageRejected):
    """Too many pixels, or too much memory to decode, by the header alone."""

    type = "image_too_large"


class PdfRejected(ImageRejected):
    """A PDF that is locked, empty or damaged, or of more or larger pages than are rendered."""

    type = "pdf_rejected"


class ImageUrlRefused(ComparisonError):
    """A picture is named by a URL that must not be fetched; the sentence says which rule, never an address."""

    type = "image_url_refused"
    status = 422


class ImageUrlFailed(ComparisonError):
    """A picture is named by a URL that may be fetched, and there was nothing to be had, or not in time."""

    type = "image_url_failed"
    status = 422


class RateLimited(ComparisonError):
    """One caller sends more than its quota, or has too many requests pending."""

    type = "rate_limited"
    status = 429


class Unavailable(ComparisonError):
    """The service can't take this request now; a later one may pass."""

    type = "not_ready"
    status = 503


class WorkerLost(Unavailable):
    """A worker died while it had this comparison in work: perhaps because of it."""


class Overloaded(Unavailable):
    """The queue is full, or the wait in it would outlast the deadline."""

    type = "overloaded"


class Draining(Unavailable):
    """The service is about to stop and finishes what it has begun."""

    type = "draining"


class DeadlineExceeded(ComparisonError):
    """`processing_timeout` passed before the report was done."""

    type = "deadline_exceeded"
    status = 504


class StorageFull(ComparisonError):
    """No room for the images of one more job; those that were accepted are unharmed."""

    type = "storage_full"
    status = 507


class ModelFailed(ComparisonError):
    """The model could not answer; `on_model_failure` decides what the caller gets."""


def kinds_of_error(of: type[ComparisonError] = ComparisonError) -> Iterator[type[ComparisonError]]:
    """All of the tree."""
    yield of
    for each in of.__subclasses__():
        yield from kinds_of_error(each)
