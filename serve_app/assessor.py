"""The model stage: what the examination found in, what the model says of it out.
No Ray, no HTTP: one job at a time on one device, ended by deadline or cancel."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, get_args

from serve_app import anchors, answer, prompt, vlm
from serve_app.core import Anchors, Assessment, Deadline, Examination, Inquiry, ModelIdentity, Stop
from serve_app.device import Device, uncounted
from serve_app.errors import ComparisonError, ModelFailed
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.settings import ModelSettings

logger = logging.getLogger("pairlens.assessor")
ANCHORS_S: Final = 300.0  # for four small inquiries of labels only, on a CPU too
_ENDS: Final = (anchors.page, anchors.landscape)  # what the page is compared with


class Assessor:
    """Asks one loaded model; with engine `none` it answers that there is none.

    Loading, a first inquiry and the anchors of its scores happen here, so that an assessor that exists can answer.
    Raises `vlm.ModelUnavailable` with a sentence for the operator.
    """

    def __init__(
        self,
        settings: ModelSettings,
        on_abandoned: Callable[[float], None] = uncounted,
        on_lookup: vlm.OnLookup = vlm.uncounted,
    ) -> None:
        """`on_abandoned`: see `Device`. `on_lookup`: told of each hit and miss of the model's cache."""
        self._model = vlm.load(settings, on_lookup)
        self._anchors: Mapping[Language, Anchors] = {}
        if self._model is not None:
            self._model.warm_up()
            self._anchors = take_anchors(self._model)
        self._device: Device[Assessment] = Device(settings.stop_grace_s, on_abandoned)

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        """Raises `DeadlineExceeded` and `ModelFailed`."""
        model = self._model
        if model is None:
            return Assessment(model=ModelIdentity("none", None, None), status="disabled")

        def work(stop: Stop) -> Assessment:
            stop.check()
            return _ask(model, config, examination, self._anchors.get(config.language), stop)

        return await self._device.run(work, Stop(deadline))

    def assert_healthy(self) -> None:
        """Raise `RuntimeError` when a job has ignored its stop for too long: only a new process helps."""
        if self._device.is_stuck:
            raise RuntimeError("the model works on long after it was told to stop")

    def close(self) -> None:
        self._device.close()


def take_anchors(model: vlm.VisionLanguageModel) -> dict[Language, Anchors]:
    """The model's scores of a picture against itself and against an unrelated one, in each language.

    A language in which it fails or chooses none of the labels is left out, with a line in the log: its scores then
    stay as they are.
    """
    taken: dict[Language, Anchors] = {}
    for language in get_args(Language):
        ends = [_level(model, prompt.calibration(anchors.page(), other(), language)) for other in _ENDS]
        if ends[0] is None or ends[1] is None:
            logger.warning("no anchors in %s: the model's scores are not rescaled", language)
            continue
        taken[language] = found = Anchors(ends[0], ends[1])
        logger.info("anchors in %s: the same %.3f, unrelated %.3f", language, found.same, found.unrelated)
        if not found.tell_apart:
            logger.warning("the model can't tell equal pictures from unrelated ones in %s", language)
    return taken


def _level(model: vlm.VisionLanguageModel, inquiry: Inquiry) -> float | None:
    try:
        return answer.level(model.answer(inquiry, Stop(Deadline.after(ANCHORS_S))), inquiry)
    except ComparisonError as exc:
        logger.warning("an anchor failed: %s", exc.type)
        return None


def _ask(
    model: vlm.VisionLanguageModel,
    config: ImageComparisonConfig,
    examination: Examination,
    ends: Anchors | None,
    stop: Stop,
) -> Assessment:
    started = time.perf_counter()
    try:
        inquiry = prompt.render(config, examination)
        output = model.answer(inquiry, stop)
        assessment = answer.parse(output, inquiry, model.identity, ends)
    except ComparisonError:
        raise
    except Exception as exc:  # noqa: BLE001
        # An engine may raise anything. Its text can quote a prompt or a path: only its kind is logged.
        logger.error("model failed: %s", type(exc).__name__)  # noqa: TRY400
        raise ModelFailed("The model could not assess this pair.") from None
    return dataclasses.replace(assessment, assess_ms=(time.perf_counter() - started) * 1000)
