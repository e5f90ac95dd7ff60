"""The model stage: what the examination found in, what the model says of it out.
No Ray, no HTTP: one job at a time on one device, or as many as its server takes, ended by deadline or cancel."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping

from serve_app import vlm
from serve_app.comparison import calibration
from serve_app.comparison.device import Device, uncounted
from serve_app.comparison.dialogue import answer, prompt
from serve_app.core.assessed import Assessment
from serve_app.core.clock import Deadline, Stop
from serve_app.core.habits import Habits
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.measured import Examination
from serve_app.errors import ComparisonError, ModelFailed
from serve_app.schema import ImageComparisonConfig, Language
from serve_app.settings import ModelSettings

logger = logging.getLogger("pairlens.assessor")


class Assessor:
    """Asks one loaded model; with engine `none` it answers that there is none.

    Loading, a first inquiry and its calibration happen here, so that an assessor that exists can answer.
    Raises `vlm.ModelUnavailable` with a sentence for the operator. `model` (None: there is none) and `device` are
    shared with conversations: what a device does at once is counted over both.
    """

    def __init__(
        self,
        settings: ModelSettings,
        on_abandoned: Callable[[float], None] = uncounted,
        on_lookup: vlm.OnLookup = vlm.uncounted,
        on_out_of_memory: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_abandoned`: see `Device`. `on_lookup`: told of each hit and miss of the model's cache.
        `on_out_of_memory`: called each time that memory ran out under the model's work."""
        self.model = vlm.load(settings, on_lookup, on_out_of_memory)
        self._habits: Mapping[Language, Habits] = {}
        if self.model is not None:
            self.model.warm_up()
            self._habits = calibration.calibrate(self.model)
        self.device = Device(settings.stop_grace_s, on_abandoned, jobs_at_once=settings.comparisons_at_once)

    async def assess(self, config: ImageComparisonConfig, examination: Examination, deadline: Deadline) -> Assessment:
        """Raises `DeadlineExceeded` and `ModelFailed`."""
        model = self.model
        if model is None:
            return Assessment(model=ModelIdentity("none", None, None), status="disabled")

        def work(stop: Stop) -> Assessment:
            stop.check()
            return _ask(model, config, examination, self._habits[config.language], stop)

        return await self.device.run(work, Stop(deadline))

    def assert_healthy(self) -> None:
        """Raise `RuntimeError` when a job has ignored its stop for too long: only a new process helps."""
        if self.device.is_stuck:
            raise RuntimeError("the model works on long after it was told to stop")

    def close(self) -> None:
        self.device.close()


def _ask(
    model: vlm.VisionLanguageModel,
    config: ImageComparisonConfig,
    examination: Examination,
    habits: Habits,
    stop: Stop,
) -> Assessment:
    started = time.perf_counter()
    try:
        inquiry = prompt.render(config, examination, habits)
        output = model.answer(inquiry, stop)
        assessment = answer.parse(output, inquiry, model.identity, habits)
    except ComparisonError:
        raise
    except Exception as exc:  # noqa: BLE001
        # An engine may raise anything. Its text can quote a prompt or a path: only its kind is logged.
        logger.error("model failed: %s", type(exc).__name__)  # noqa: TRY400
        raise ModelFailed("The model could not assess this pair.") from None
    return dataclasses.replace(assessment, assess_ms=(time.perf_counter() - started) * 1000)
