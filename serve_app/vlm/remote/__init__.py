"""Engine `openai`: a model behind any OpenAI-compatible chat server, vLLM, SGLang, LMDeploy or a hosted one.
No weights here, no GPU: every question is a request, and the server's prefix cache is what they share.
"""

from __future__ import annotations

from serve_app.vlm.remote.model import ChatModel, check

__all__ = ["ChatModel", "check"]
