"""What PairLens replaced, as its notes describe it: a FastAPI route that shrinks both pictures to JPEG, sends them to a
model one request at a time, and lets `generate` write one long JSON answer.
No shared prefill, no scores: it is here to be timed beside PairLens.

    python -m benchmarks.peers.serial_server FOLDER --port 8099
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import threading
from typing import Annotated, Any

import torch
import transformers
import uvicorn
from fastapi import FastAPI, Form, UploadFile
from PIL import Image


async def process_image(file: UploadFile, max_size: tuple[int, int], quality: int) -> str:
    content = await file.read()
    with Image.open(io.BytesIO(content)) as img:
        if img.mode != "RGB":
            img = img.convert("RGB")  # type: ignore[assignment]
        img.thumbnail(max_size, Image.Resampling.LANCZOS)
        buffered = io.BytesIO()
        img.save(buffered, format="JPEG", quality=quality, optimize=True)
        return "data:image;base64," + base64.b64encode(buffered.getvalue()).decode("utf-8")


class Chat:
    """`generate` under a lock: one task after the other."""

    def __init__(self, folder: str, dtype: str) -> None:
        self._processor = transformers.AutoProcessor.from_pretrained(folder)
        self._model: Any = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self._lock = threading.Lock()

    def answer(self, images: list[str], prompt: str, tokens: int) -> str:
        pictures = [Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) for image in images]
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt}]
        text = self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        with self._lock, torch.inference_mode():
            inputs = self._processor(text=[text], images=[pictures], return_tensors="pt", add_special_tokens=False)
            inputs = inputs.to(self._model.device, dtype=self._model.dtype)
            written = self._model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        start = inputs["input_ids"].shape[1]
        return str(self._processor.tokenizer.decode(written[0, start:], skip_special_tokens=True))


def create_app(chat: Chat) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/compare")
    async def compare(
        files: list[UploadFile],
        prompt: Annotated[str, Form()],
        tokens: Annotated[int, Form()],
        side: Annotated[int, Form()] = 1024,
        timeout: Annotated[float, Form()] = 600,  # noqa: ASYNC109
    ) -> dict[str, Any]:
        images = [await process_image(file, (side, side), 85) for file in files]
        try:
            async with asyncio.timeout(timeout):
                answer = await asyncio.to_thread(chat.answer, images, prompt, tokens)
        except TimeoutError:
            return {"code": 500, "msg": "timeout", "data": None}
        return {"code": 200, "msg": "ok", "data": answer}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    uvicorn.run(
        create_app(Chat(options.folder, options.dtype)), host="127.0.0.1", port=options.port, log_level="warning"
    )


if __name__ == "__main__":
    main()
