"""Modules put together as one script: each once, before who needs it, and nothing left that a script can't say."""

from __future__ import annotations

import pytest

from serve_app.views.bundled import bundled, ordered

MODULES = {
    "all": 'import { two } from "./second.js";\nimport "./first.js";\ntold(two());\n',
    "first": "// Why one.\nexport const ONE = 1; // the least\n\t/** A thing. */\nexport class Thing {}\n",
    "second": 'import { ONE } from "./first.js";\nexport async function two() {\n\treturn ONE + 1;\n}\n',
}


def test_every_module_is_there_once_and_before_who_needs_it() -> None:
    assert ordered("all", MODULES.__getitem__) == ["first", "second", "all"]
    whole = bundled("all", MODULES.__getitem__)
    assert whole.count("class Thing {}") == 1
    assert "const ONE = 1; // the least\nclass Thing" in whole  # a comment of a whole line stays in the file
    assert "return { ONE, Thing };" in whole
    assert whole.index("const module_first = ") < whole.index("const { ONE } = module_first;")
    assert whole.endswith("const { two } = module_second;\n\ntold(two());\n")


@pytest.mark.parametrize(
    "line",
    ["import Thing from './thing.js';", 'import * as all from "./first.js";', "export default 1;", "export { a, b };"],
)
def test_what_it_does_not_understand_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not understood: "):
        bundled("all", {"all": f"{line}\n", "first": "", "thing": ""}.__getitem__)
