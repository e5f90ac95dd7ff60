"""Requests made up from the OpenAPI page: what is answered, its code, body and headers, is as the page says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection as refuses
from schemathesis.specs.openapi.checks import positive_data_acceptance as accepts

from serve_app.comparison.assessor import Assessor
from serve_app.comparison.examiner import Examiner
from serve_app.comparison.pipeline import Pipeline
from serve_app.serving.api.app import create_app
from serve_app.serving.readiness import AlwaysReady
from serve_app.settings import Settings
from tests.serving.hostile.service import Log, desk_in

# What no schema can say: that these bytes are a picture that we take, that there is time for it, that a cursor is one
# of ours, and that a job with such an id is there and as it has to be.
RULES = {
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 409, 415, 422, 503, 504]},
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503, 504]},
    }
}
EXAMPLES = 40


SETTINGS = Settings()
LOG = Log()
FOLDER = tempfile.TemporaryDirectory()
APP = create_app(
    Pipeline(Examiner(SETTINGS.limits, SETTINGS.preprocessing, shows_images=False), Assessor(SETTINGS.model), SETTINGS),
    SETTINGS,
    readiness=AlwaysReady(),
    logger=LOG.logger,
    jobs=desk_in(Path(FOLDER.name)),
)
PAGE = schemathesis.openapi.from_asgi("/openapi.json", APP, config=SchemathesisConfig.from_dict(RULES))


@PAGE.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_page_says(case: schemathesis.Case[Any]) -> None:
    # "Both of these files, or both of those, and no more" is beyond what the library makes of a schema for files.
    beyond: list[Any] = [accepts, refuses] if case.media_type == "multipart/form-data" else []
    case.call_and_validate(excluded_checks=beyond)
    assert LOG.errors == []
