"""Why a model can't be served.
No model: only the word for it, so that engines and their callers share it."""

from serve_app.core.comparing import CantCompare


class ModelUnavailable(CantCompare):
    """The model can't be served: one sentence for the operator."""
