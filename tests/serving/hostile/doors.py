"""Bodies of `POST /v1/compare` as no honest caller writes them: odd JSON, odd forms, odd configs, odd content types.
Knows no HTTP client: a door is a content type, a body, and what may be answered."""

from __future__ import annotations

import base64
import gzip
import json
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.serving.hostile.bodies import BOUNDARY, MARK, data_urls, document, form, part, pictures

REFUSED: Final = frozenset({400, 415, 422})
FINE: Final = frozenset({200})
EITHER: Final = REFUSED | FINE
HUGE: Final = "1" + "0" * 310  # beyond a float


@dataclass(frozen=True, slots=True)
class Door:
    """One request; `answers`: the statuses that are right."""

    name: str
    content_type: str
    body: bytes
    answers: frozenset[int] = REFUSED
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


# --- JSON


def _json(name: str, text: str | bytes, answers: frozenset[int] = REFUSED) -> Door:
    body = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return Door(f"json: {name}", "application/json", body, answers)


def _json_texts() -> Iterator[Door]:
    good = document()
    for name, text in {
        **{f"top {value!r}": value for value in ("", " ", "null", "true", "1", '"a"', "[]", "{}", "{", "[", "}", "\0")},
        "cut off": good[: len(good) // 2],
        "twice": good * 2,
        "with a comma at its end": good[:-1] + ",}",
        "with a comment": good + f"// {MARK}",
        "with single quotes": good.replace('"', "'"),
        "deep lists": "[" * 100_000,
        "deep objects": '{"a":' * 100_000,
        "a deep config": document("[" * 2_000 + "]" * 2_000),
        "a lone surrogate": document('{"focus_elements":["\\ud800"]}'),
        "a lone surrogate in a name": document('{"\\udfff":1}'),
        "another member": document(before=f'"{MARK}":1,'),
        "a member without a name": document(before='"":1,'),
        "no candidate": '{"reference":"data:,"}',
        "an image as bytes": b'{"reference":"\xff\xfe","candidate":""}',
    }.items():
        yield _json(name, text)
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        yield _json(encoding, good.encode(encoding))
    yield _json("a byte order mark", good.encode("utf-8-sig"), EITHER)
    yield _json("the same member twice", document(before='"config":{"language":"zh"},'), FINE)
    yield _json("white space around it", f"\n\t {good} \r\n", FINE)


def _sources() -> Iterator[Door]:
    """What stands where a `data:` URL should."""
    good = data_urls()[0]
    payload = good.partition(",")[2]
    sources: dict[str, Any] = {
        **{f"of type {type(value).__name__}": value for value in (None, True, 1, 0.5, [], {}, [good], {"a": good})},
        "empty": "",
        "without a comma": "data:image/png;base64",
        "without base64": f"data:image/png,{payload}",
        "not base64": f"data:image/png;base64,%%{MARK}%%",
        "url-safe base64": "data:image/png;base64,-_-_",
        "base64 without padding": "data:image/png;base64,QQ",
        "of a NUL": "data:image/png;base64,\0",
        "a file": f"file:///etc/{MARK}",
        "a path": "/etc/passwd",
        "http": f"http://127.0.0.1:1/{MARK}",
        "https": f"https://127.0.0.1:1/{MARK}",
        "https in capitals": f"HTTPS://127.0.0.1:1/{MARK}",
        "gopher": "gopher://127.0.0.1:1/_a",
        "a line end": "data:image/png;base64,\r\nX-Injected: 1",
        "of many parameters": f"data:image/png{';a=b' * 5_000};base64,{payload}",
        "no picture": "data:image/png;base64," + base64.b64encode(MARK.encode()).decode(),
        "nothing": "data:image/png;base64,",
    }
    for name, source in sources.items():
        yield _json(f"source {name}", json.dumps({"reference": good, "candidate": source}))
    for name, head in {
        "a space": "data:image/png;base64, ",
        "html": "data:text/html;base64,",
        "no type": "data:;base64,",
        "capitals": "DATA:IMAGE/PNG;BASE64,",
        "some parameters": "data:image/png;a=b;charset=utf-8;base64,",
    }.items():
        yield _json(f"source of {name}", json.dumps({"reference": good, "candidate": head + payload}), FINE)


# --- configs, in both kinds of body

NUMBERS: Final = (HUGE, f"-{HUGE}", f"{HUGE}.5", "1e400", "-1e400", str(2**31), str(2**63), str(2**64), "1e-400", "NaN")
ODD: Final = ("Infinity", "-0", "-1", "true", "null", '""', f'"{MARK}"', "[]", "{}", "[[]]")
NUMBER_FIELDS: Final = {
    "similarity_threshold": "{}",
    "image_quality": "{}",
    "processing_timeout": "{}",
    "max_image_size": "[{},100]",
    "ignore_regions": "[[0,0,{},1]]",
    "ignore_regions ": "[[{},0,1,1]]",
    "ignore_regions  ": "[[1,1,1,{}]]",
}


def _configs() -> Iterator[Door]:
    for name, around in NUMBER_FIELDS.items():
        for number in (*NUMBERS, *ODD):
            value = around.replace("{}", number)
            # A box may lie outside, a timeout may be long, and a threshold next to zero is one.
            yield from _config(f"{name} {number[:8]}", f'{{"{name.strip()}":{value}}}', EITHER | {504})
    words: dict[str, Any] = {
        "language": [MARK, "EN", "", "en\0", ["en"], None],
        "on_model_failure": [MARK, "", True],
        "visuals": [[MARK], "overlay", ["overlay"] * 6, [None]],
        "swap_check": ["true", 1, None],
        "focus_elements": [["a" * 201], [""], [" "], ["a"] * 21, [1], [None], MARK, [[MARK]]],
        "comparison_aspects": [[], ["a" * 101], ["a"] * 13, MARK, [True]],
        "max_image_size": [[], [100], [100] * 3, [63, 64], [4097, 64], [64.5, 64]],
        "ignore_regions": [[[0] * 4], [[1] * 5], [[0, 0, 1, 1]] * 65, [[-1, 0, 1, 1]], [["0", 0, 1, 1]]],
        f"<{MARK}>": [1],
        "": [1],
        "__proto__": [{}],
        "a/b~c": [1],
    }
    for name, values in words.items():
        for index, value in enumerate(values):
            yield from _config(f"{name or 'no name'} {index}", json.dumps({name: value}))
    for name, words_ in {
        "elements of other scripts": ["标志", "ロゴ", "логотип", "🎌", "a\u0301"],
        "elements that turn the writing round": ["\u202eabc", "\u2066abc"],
        "elements with control signs": ["a\0b", "a\x1b[31mb", "a\r\nb"],
        "elements of markup": ["<script>", "{{7*7}}", "${jndi:ldap://127.0.0.1:1}", "'; DROP TABLE a;--", "../../a"],
    }.items():
        yield from _config(name, json.dumps({"focus_elements": words_}), EITHER)


def _config(name: str, text: str, answers: frozenset[int] = REFUSED) -> Iterator[Door]:
    yield _json(f"config {name}", document(text), answers)
    yield _form(f"config {name}", [*_images(), part("config", text.encode())], answers)


# --- forms


def _images() -> list[bytes]:
    return [part("files", each, "a.png", "Content-Type: image/png") for each in pictures()]


def _form(
    name: str, parts: Iterable[bytes], answers: frozenset[int] = REFUSED, content_type: str | None = None
) -> Door:
    return Door(f"form: {name}", content_type or f"multipart/form-data; boundary={BOUNDARY}", form(parts), answers)


def _boundaries() -> Iterator[Door]:
    good = form(_images())
    kinds = {
        "missing": "multipart/form-data",
        "empty": "multipart/form-data; boundary=",
        "of an empty string": 'multipart/form-data; boundary=""',
        "another": "multipart/form-data; boundary=c",
        "of 10 KB": f"multipart/form-data; boundary={'b' * 10_000}",
        "not ended": 'multipart/form-data; boundary="b',
        "of other letters": "multipart/form-data; boundary=\xfc",
        "twice": "multipart/form-data; boundary=c; boundary=d",
        "with a star": "multipart/form-data; boundary*=utf-8''c",
    }
    for name, content_type in kinds.items():
        yield Door(f"form: boundary {name}", content_type, good)
    for name, content_type in {
        "in quotes": 'multipart/form-data; boundary="b"',
        "in capitals": "Multipart/Form-Data; Boundary=b",
        "after more": "multipart/form-data; charset=utf-8; boundary=b; a=b",
    }.items():
        yield Door(f"form: boundary {name}", content_type, good, FINE)
    longest = "".join((string.ascii_letters + string.digits) * 2)[:70]  # RFC 2046
    yield Door("form: boundary of 70", f"multipart/form-data; boundary={longest}", form(_images(), longest), FINE)


CHARSETS: Final = (
    *("punycode", "undefined", "idna", "utf-7", "utf-16", "utf-32", "utf_8_sig", "rot13", "hex", "zip", "bz2", "uu"),
    *("base64", "quopri", "unicode_escape", "raw_unicode_escape", "charmap", "mbcs", "oem", "palmos", "cp65001"),
    *("latin-1", "ascii", "gb18030", "shift_jis", "no-such", "../a", "a" * 5_000, "", "\xff", "utf-8;", '"utf-8', "*"),
)


def _charsets() -> Iterator[Door]:
    """Of the form: names of parts and of files are read in it, and Python knows more codecs than text has."""
    for charset in CHARSETS:
        content_type = f"multipart/form-data; boundary=b; charset={charset}"
        yield _form(f"charset {charset[:20]}", _images(), EITHER, content_type)
        odd = [part("\xfc\u4f60", b"", "\udcff\udc80-.png")]
        yield _form(f"charset {charset[:20]}, other letters", odd, REFUSED, content_type)
        yield _form(f"charset {charset[:20]}, an empty value", [part("x", b"")], REFUSED, content_type)
    for charset in CHARSETS[:8]:
        yield _form(f"_charset_ {charset}", [part("_charset_", charset.encode()), *_images()])
        config = part("config", b"{}", None, f"Content-Type: application/json; charset={charset}")
        yield _form(f"config in {charset}", [*_images(), config], EITHER)


def _parts() -> Iterator[Door]:
    images = _images()
    wrong: dict[str, list[bytes]] = {
        "none": [],
        "one": images[:1],
        "three": [*images, images[0]],
        "100 files": images * 50,
        "200 files": images * 100,
        "10,000 fields": [part("x", b"")] * 10_000,
        "10,000 files": [part("files", b"", "a")] * 10_000,
        "another name": [*images, part(MARK, b"1")],
        "a name of 10 KB": [*images, part("x" * 10_000, b"1")],
        "a name with a NUL": [*images, part("a\0b", b"1")],
        "no name": [*images, b"Content-Disposition: form-data\r\n\r\nabc"],
        "an empty name": [*images, part("", b"1")],
        "mixed names": [images[0], part("reference", pictures()[1], "b")],
        "reference twice": [part("reference", each, "a") for each in pictures()],
        "reference as text": [part("reference", b"a"), part("candidate", b"b")],
        "two configs": [*images, part("config", b"{}"), part("config", b"{}")],
        "a config of 300 KB": [*images, part("config", b" " * 300_000 + b"{}")],
        "a config file of 300 KB": [*images, part("config", b" " * 300_000 + b"{}", "c.json")],
        "a config that is none": [*images, part("config", MARK.encode())],
        "a config of bytes": [*images, part("config", b"\xff\xfe{}")],
        "a deep config": [*images, part("config", b"[" * 100_000)],
        "pictures as config": [*images, part("config", pictures()[0], "c.png")],
        "a form in a form": [part("files", form(images), "a", "Content-Type: multipart/mixed; boundary=b")],
    }
    for name, parts in wrong.items():
        yield _form(name, parts)
    yield _form("config as a file", [*images, part("config", b"{}", "c.json")], FINE)
    yield _form("files without names of files", [part("files", each) for each in pictures()], FINE)
    yield _form("named", [part("candidate", pictures()[1], "b"), part("reference", pictures()[0], "a")], FINE)
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    good = form(images)
    for name, body in {
        "cut off": good[: len(good) // 2],
        "without an end": good[:-8],
        "of line feeds": form(images, end=b"\n"),
        "of carriage returns": form(images, end=b"\r"),
        "empty": b"",
        "only an end": b"--b--\r\n",
        "only line ends": b"\r\n" * 10_000,
        "only boundaries": b"--b\r\n" * 10_000,
    }.items():
        yield Door(f"form: {name}", content_type, body)
    yield Door("form: text around it", content_type, b"before\r\n" + good + b"after" * 1000, EITHER)


def _part_headers() -> Iterator[Door]:
    second = _images()[1]
    heads: dict[str, tuple[bytes, frozenset[int]]] = {
        "1,000 headers": (b"X-A: b\r\n" * 1_000, EITHER),
        "a header of 1 MB": (b"X-A: " + b"b" * 2**20 + b"\r\n", EITHER),
        "a header without a name": (b": b\r\n", EITHER),
        "a header without a colon": (b"abc\r\n", REFUSED),
        "a header with a NUL": (b"X-\0: b\r\n", REFUSED),
        "a folded header": (b"X-A: b\r\n c\r\n", EITHER),
        "another disposition": (b"Content-Disposition: attachment\r\n", EITHER),
        "base64": (b"Content-Transfer-Encoding: base64\r\n", EITHER),
        "quoted-printable": (b"Content-Transfer-Encoding: quoted-printable\r\n", EITHER),
        "another encoding": (b"Content-Transfer-Encoding: zip\r\n", EITHER),
        "a length": (b"Content-Length: -1\r\n", EITHER),
    }
    for name, (head, answers) in heads.items():
        first = head + part("files", pictures()[0], "a.png")
        yield _form(f"part with {name}", [first, second], answers)
    for name, filename in {
        "a path": "../../etc/passwd",
        "a drive": "C:\\a.png",
        "a NUL": "a\0.png",
        "quotes": 'a\\"b.png',
        "10 KB": "a" * 10_000,
        "a line end": "a%0d%0aX: 1",
        "other letters": "图片.png",
        "no UTF-8": "\udcff\udcfe.png",
        "nothing": "",
    }.items():
        yield _form(f"file named {name}", [part("files", pictures()[0], filename), second], EITHER)


def _content_types() -> Iterator[Door]:
    text, good = document().encode(), form(_images())
    for content_type in (
        *(
            "",
            "text/plain",
            "application/octet-stream",
            "application/x-www-form-urlencoded",
            "multipart/mixed; boundary=b",
        ),
        *(
            "application/json-patch+json",
            "application/json,text/html",
            "*/*",
            "a" * 10_000,
            "/",
            ";",
            MARK,
            "image/png",
        ),
    ):
        yield Door(f"type {content_type[:30]!r} over JSON", content_type, text)
        yield Door(f"type {content_type[:30]!r} over a form", content_type, good)
    for content_type in (
        "APPLICATION/JSON",
        "application/json;charset=utf-16",
        "application/json;;;",
        "application/json ; a",
    ):
        yield Door(f"type {content_type!r}", content_type, text, FINE)
    yield Door("type of a form over JSON", f"multipart/form-data; boundary={BOUNDARY}", text)
    yield Door("type of JSON over a form", "application/json", good)
    for coding in ("gzip", "deflate", "br", "identity", "gzip, gzip", MARK):
        yield Door(f"coding {coding}", "application/json", text, EITHER, {"content-encoding": coding})
    yield Door("a gzip body", "application/json", gzip.compress(text), REFUSED, {"content-encoding": "gzip"})


KINDS: Final[dict[str, Callable[[], Iterator[Door]]]] = {
    "JSON texts": _json_texts,
    "sources": _sources,
    "configs": _configs,
    "boundaries": _boundaries,
    "charsets": _charsets,
    "parts": _parts,
    "headers of parts": _part_headers,
    "content types": _content_types,
}


def doors() -> Iterator[Door]:
    """All of them."""
    for kind in KINDS.values():
        yield from kind()


# --- jobs

PLACES_TO_TELL: Final[tuple[Any, ...]] = (
    *("", " ", "https", "https:", "https://", "https:///a", f"//{MARK}/", f"/{MARK}", f"javascript:{MARK}"),
    *(f"http://{MARK}.example/", f"ftp://{MARK}/", f"file:///etc/{MARK}", f"gopher://{MARK}:70/_", f"HTTP://{MARK}/"),
    *(f"https://{MARK}:pw@a.example/", f"https://a.example:99999/{MARK}", f"https://[{MARK}]/", "https://[::1/"),
    *(f"https://a.example/\r\nX-{MARK}: 1", f"https://a.example/\0{MARK}", f"https://a.example/{'a' * 5_000}"),
)


def telling(url: str) -> Iterator[Door]:
    """A job whose end is to be told there, and what is no text at all."""
    for name, value in {"text": url, "a list": [url], "a number": 1, "an object": {"url": url}, "true": True}.items():
        yield _json(f"told {name}", document(after=f',"webhook_url":{json.dumps(value)}'))
    yield _form("told", [*_images(), part("webhook_url", url.encode())])
    yield _form("told as a file", [*_images(), part("webhook_url", b"https://a.example/", "a.txt")])
    yield _form("told twice", [*_images(), *[part("webhook_url", b"https://a.example/")] * 2])


_ID: Final = "0" * 32
JOB_ROUTES: Final[tuple[tuple[str, str, dict[str, bytes], frozenset[int]], ...]] = (
    *(("GET", f"/v1/jobs/{each}", {}, frozenset({404})) for each in (MARK, _ID, _ID[:31] + "%0a", "%00", "a" * 5_000)),
    *(("DELETE", f"/v1/jobs/{each}", {}, frozenset({404})) for each in (MARK, _ID, "'%20or%201=1--", "..%2f..%2fa")),
    *(("GET", f"/v1/jobs/{each}/events", {}, frozenset({400, 404})) for each in (MARK, _ID)),
    *(("POST", f"/v1/jobs/{each}/retry", {}, frozenset({404})) for each in (MARK, _ID, "%ff")),
    *(
        ("GET", f"/v1/jobs?{query}", {}, frozenset({400}))
        for query in (
            *(f"status={MARK}", "status=", "status=queued%00", "limit=1e9", "limit=-1", f"limit={'9' * 5_000}"),
            *(f"cursor={MARK}", f"cursor={'A' * 5_000}", "cursor=W1tbW1tb", "cursor=%00", "cursor=%ff", "limit=%D9%A1"),
        )
    ),
    *(
        ("GET", f"/v1/jobs/{_ID}/events", {"last-event-id": value}, frozenset({400}))
        for value in (MARK.encode(), b"-1", b"1.5", b"9" * 5_000, b"\xff", b"")
    ),
    *(
        ("POST", "/v1/jobs", {"idempotency-key": value, "content-type": b"application/json"}, frozenset({400}))
        for value in (b"", b" ", MARK.encode() + b" 1", b"\xff", b"k" * 5_000)
    ),
    *(("PUT", f"/v1/jobs{below}", {}, frozenset({405})) for below in ("", f"/{_ID}")),
)
