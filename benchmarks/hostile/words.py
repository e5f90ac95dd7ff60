"""Rows about words: a caller's own must not stand in a log, and only a key opens what is locked.
Who is told what stands in the contract."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image, PngImagePlugin

from benchmarks.hostile.row import Bench
from tests.serving.hostile import wire
from tests.serving.hostile.bodies import data_urls, form, part, pictures
from tests.worlds.imaging_files import chunk
from tests.worlds.samples import card

KEY: Final = "the-right-key-of-the-shop"
LOCKED: Final = ("/v1/compare", "/v1/limits", "/v1/", "/v1/no-such-route")
OPEN: Final = ("/livez", "/readyz", "/version", "/docs", "/openapi.json")


@dataclass(slots=True)
class Marks:
    """Words that stand nowhere else, each in one place of a request."""

    placed: dict[str, str] = field(default_factory=dict)

    def __call__(self, place: str) -> str:
        mark = f"zq{len(self.placed):03d}markqz"
        self.placed[mark] = place
        return mark

    def bytes(self, place: str) -> bytes:
        return self(place).encode()


def marks(bench: Bench) -> None:
    """A mark in every place where a caller can write; then all logs and the metrics are read."""
    row, service = bench.row, bench.service
    mark = Marks()
    with bench.watched():
        sent = 0
        for place, request in bench.box.inside(_marked(mark)):
            answers, _ = wire.ask(service.address, request, patience_s=20)
            sent += 1
            status = wire.status(answers)
            row.answers[status] += 1
            repeated = [each for each in mark.placed if any(each.encode() in answer.body for answer in answers)]
            if status != 200 and repeated:
                row.wrong(f"{place}: the refusal repeats {[mark.placed[each] for each in repeated]}")
        time.sleep(2)
        texts = [(path.name, text) for path, text in service.logged_since({})]
        texts.append(("the metrics", service.metrics()))
        for name, text in texts:
            for each, place in mark.placed.items():
                if each.encode() in text:
                    row.wrong(f"{place}: stands in {name}")
        row.want_none_wrong("marks repeated or logged")
    read = sum(len(text) for _, text in texts) / 2**20
    row.sent = f"{sent} requests with {len(mark.placed)} marks; {read:.1f} MiB of logs and metrics read"


def _marked(mark: Marks) -> Iterator[tuple[str, bytes]]:
    yield from _in_headers(mark)
    yield from _in_targets(mark)
    yield from _in_forms(mark)
    yield from _in_json(mark)
    yield from _in_pictures(mark)


def _in_headers(mark: Marks) -> Iterator[tuple[str, bytes]]:
    names = (
        *("Cookie", "Authorization", "X-API-Key", "User-Agent", "Referer", "Origin", "X-Forwarded-For", "Forwarded"),
        *("Accept-Language", "Proxy-Authorization", "X-Anything", "If-None-Match", "Accept", "Content-Language"),
    )
    for name in names:
        line = f"{name}: {mark(name)}".encode()
        yield f"header {name}", wire.request("/v1/limits", line)
        yield f"header {name}", wire.comparison(line)
    for name in wire.BELIEVED:
        # A right id is ours to log; one with a blank in it is not.
        yield f"header {name}", wire.comparison(f"{name}: {mark(name)} b".encode())
    yield "the name of a header", wire.request("/livez", mark.bytes("the name of a header") + b": a")
    yield "Host", wire.request("/livez", host=b"Host: " + mark.bytes("Host") + b"\r\n")
    yield "Content-Type", wire.request("/v1/compare", b"Content-Type: " + mark.bytes("Content-Type"), method=b"POST")


def _in_targets(mark: Marks) -> Iterator[tuple[str, bytes]]:
    for place, target in {
        "a path": "/{}",
        "a path under /v1": "/v1/{}",
        "a query": "/livez?{}=1",
        "a query's value": "/v1/limits?a={}",
        "a user": "http://{}:b@a/livez",
    }.items():
        yield place, wire.request(target.format(mark(place)))
    yield "a method", wire.request("/livez", method=mark.bytes("a method").upper())
    yield "no request", mark.bytes("no request") + b"\r\n\r\n"


def _posted(body: bytes, kind: str = "multipart/form-data; boundary=b") -> bytes:
    length = f"Content-Length: {len(body)}".encode()
    return wire.request("/v1/compare", f"Content-Type: {kind}".encode(), length, method=b"POST", body=body)


def _in_forms(mark: Marks) -> Iterator[tuple[str, bytes]]:
    first, second = pictures()
    for place in ("a file's name", "a file's name, refused"):
        other = second if place == "a file's name" else b"no picture"
        yield place, _posted(form([part("files", first, mark(place)), part("files", other, mark(place + " 2"))]))
    for place, parts in {
        "a part's name": [part(mark("a part's name"), b"1")],
        "a part's text": [part("files", mark.bytes("a part's text"))],
        "a part's type": [part("files", first, "a", f"Content-Type: {mark('a part’s type')}")],
        "a part's header": [part("files", first, "a", f"X-A: {mark('a part’s header')}")],
        "a config that is none": [part("config", mark.bytes("a config that is none"))],
        "text between parts": [mark.bytes("text between parts")],
    }.items():
        yield place, _posted(form([part("files", first, "a"), part("files", second, "b"), *parts]))
    boundary = mark("a boundary")
    yield (
        "a boundary",
        _posted(form([part("files", first, "a")], boundary), f"multipart/form-data; boundary={boundary}"),
    )
    yield "a charset", _posted(form([]), f"multipart/form-data; boundary=b; charset={mark('a charset')}")


def _in_json(mark: Marks) -> Iterator[tuple[str, bytes]]:
    reference, candidate = data_urls()
    good: dict[str, Any] = {"reference": reference, "candidate": candidate}
    configs: dict[str, Any] = {
        "focus elements": {"focus_elements": [mark("focus elements")]},
        "aspects": {"comparison_aspects": [mark("aspects")]},
        "a focus element, refused": {"focus_elements": [mark("a focus element, refused")], "language": "fr"},
        "an aspect too long": {"comparison_aspects": [mark("an aspect too long") * 10]},
        "a language": {"language": mark("a language")},
        "a visual": {"visuals": [mark("a visual")]},
        "a threshold": {"similarity_threshold": mark("a threshold")},
        "a region": {"ignore_regions": [mark("a region")]},
        "a config's value": mark("a config's value"),
    }
    bodies: dict[str, dict[str, Any]] = {place: {**good, "config": config} for place, config in configs.items()}
    bodies |= {
        "a member": {**good, mark("a member"): 1},
        "a URL": {**good, "candidate": f"https://{mark('a URL')}/a.png"},
        "a path of a file": {**good, "candidate": f"file:///{mark('a path of a file')}"},
        "a type of a data URL": {**good, "candidate": f"data:{mark('a type of a data URL')};base64,QUJD"},
        "what is not base64": {**good, "candidate": f"data:image/png;base64,%{mark('what is not base64')}"},
    }
    for place, asked in bodies.items():
        yield place, _posted(json.dumps(asked).encode(), "application/json")
    yield "what is not JSON", _posted(b"{" + mark.bytes("what is not JSON"), "application/json")


def _in_pictures(mark: Marks) -> Iterator[tuple[str, bytes]]:
    """In what cameras and programs write into files, and in the pixels themselves; whole files and cut ones."""
    picture = card("red", size=(64, 48), place=(20, 18))
    tags = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298):  # description, make, model, program, artist, rights
        tags[tag] = mark(f"EXIF {tag:#x}")
    tags[0x8825] = {29: mark("GPS date"), 27: mark.bytes("GPS way")}
    texts = PngImagePlugin.PngInfo()
    texts.add_text(mark("a PNG's keyword"), mark("a PNG's text"))
    texts.add_itxt("a", mark("a PNG's other text"))
    texts.add_text("b", mark("a PNG's packed text"), zip=True)
    files = {
        "a JPEG's EXIF": _written(picture, "JPEG", exif=tags, comment=mark("a JPEG's comment")),
        "a PNG's texts": _written(picture, "PNG", pnginfo=texts, exif=tags),
        "a WebP's EXIF": _written(picture, "WEBP", exif=tags, xmp=mark.bytes("XMP")),
        "a TIFF's tags": _written(picture, "TIFF", tiffinfo={270: mark("a TIFF's description")}),
        "a GIF's comment": _written(picture.convert("P"), "GIF", comment=mark("a GIF's comment")),
        "pixels": _written(Image.frombytes("L", (30, 30), mark.bytes("pixels").ljust(900)), "BMP"),
        "after the end": _written(picture, "PNG") + mark.bytes("after the end"),
        "a chunk": _written(picture, "PNG")[:33]
        + chunk(b"teSt", mark.bytes("a chunk"))
        + _written(picture, "PNG")[33:],
        "no picture": mark.bytes("no picture"),
    }
    for place, data in files.items():
        yield place, _posted(form([part("files", pictures()[0], "a"), part("files", data, "b")]))
        yield place, _posted(form([part("files", data[: len(data) - 40], "a"), part("files", data, "b")]))


def _written(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


# --- keys


def keys(bench: Bench) -> None:
    """No key, wrong ones and odd ones on every route; odd paths to what is locked. Only the right key opens it."""
    row, address = bench.row, bench.service.address
    with bench.watched():
        for name, lines, wanted in bench.box.inside(iter(_keys())):
            for target in (*LOCKED, *OPEN):
                sent = wire.comparison(*lines) if target == "/v1/compare" else wire.request(target, *lines)
                answers, _ = wire.ask(address, sent)
                status = wire.status(answers)
                row.answers[status] += 1
                right = wanted if target in LOCKED else {200}
                if wanted == {200}:
                    right = {200, 404}
                if status not in right:
                    row.wrong(f"{target} with {name}: {status}")
        for odd in bench.box.inside(iter(_round_the_lock())):
            for line in (b"X-A: b", b"X-API-Key: wrong"):
                answers, _ = wire.ask(address, wire.request(odd, line), patience_s=2)
                row.answers[wire.status(answers)] += 1
                if any(answer.status == 200 and b"max_pixels" in answer.body for answer in answers):
                    row.wrong(f"{odd!r}: opened")
        row.want_none_wrong("opened, or closed, otherwise than foreseen")
    row.sent = (
        f"{len(_keys())} ways to give a key x {len(LOCKED) + len(OPEN)} routes, {len(_round_the_lock())} odd paths"
    )


def _keys() -> list[tuple[str, tuple[bytes, ...], set[int]]]:
    right, none, wrong = KEY.encode(), {401}, {403}
    near = (
        KEY[:-1],
        KEY + "a",
        KEY.upper(),
        KEY[::-1],
        f"{KEY}\xff",
        "a" * 8_000,
        f"{KEY},{KEY}",
        f'"{KEY}"',
        "\xff\xfe",
    )
    return [
        ("none", (), none),
        ("an empty one", (b"X-API-Key:",), none),
        ("an empty bearer", (b"Authorization: Bearer ",), none),
        ("another scheme", (b"Authorization: Basic " + right,), none),
        ("no scheme", (b"Authorization: " + right,), none),
        ("a cookie", (b"Cookie: X-API-Key=" + right,), none),
        *((f"near {key[:12]!r}", (b"X-API-Key: " + key.encode("latin-1"),), wrong) for key in near),
        ("a wrong one first", (b"X-API-Key: a", b"X-API-Key: " + right), wrong),
        ("a wrong bearer before it", (b"Authorization: Bearer a", b"X-API-Key: " + right), wrong),
        ("the right one", (b"X-API-Key: " + right,), {200}),
        ("the right bearer", (b"Authorization: Bearer " + right,), {200}),
    ]


def _round_the_lock() -> list[bytes]:
    return [
        *(b"//v1/limits", b"/v1//limits", b"/V1/limits", b"/v1/limits/", b"/./v1/limits", b"/../v1/limits"),
        *(
            b"/%76%31/limits",
            b"/v1%2flimits",
            b"/%2fv1/limits",
            b"/livez/../v1/limits",
            b"/v1/limits;a",
            b"/v1/limits?a",
        ),
        *(b"/v1/limits%00", b"/v1/limits#a", b"/v1/.//limits", b"/docs/../v1/limits", b"\\v1\\limits", b"/v1\\limits"),
        *(
            b"http://a/v1/limits",
            b"http://a//v1/limits",
            b"/v1/limits%20",
            b"/%c0%afv1/limits",
            b"/v1/%6cimits",
            b"v1/limits",
        ),
    ]
