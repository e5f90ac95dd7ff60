"""Why a model can't be served.
No model: only the word for it, so that engines and their callers share it."""


class ModelUnavailable(Exception):
    """The model can't be served: one sentence for the operator."""
