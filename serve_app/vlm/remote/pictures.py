"""Pictures as a chat server takes them: `data:` URLs.
No requests: pixels or JPEG in, text out.
"""

from __future__ import annotations

import base64
import io

from PIL import Image

from serve_app.core.pictures import ShownImage


def url(shown: ShownImage) -> str:
    """The JPEG as it is, plain pixels as PNG."""
    if shown.encoding == "jpeg":
        return f"data:image/jpeg;base64,{base64.b64encode(shown.data).decode()}"
    encoded = io.BytesIO()
    Image.frombytes("RGB", (shown.width, shown.height), shown.data).save(encoded, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"
