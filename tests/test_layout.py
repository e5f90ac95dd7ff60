"""The folder list is the architecture: what no import-linter contract can say."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import pairlens

ROOT = Path(__file__).parents[1]
MOST_ENTRIES = 20
WIDER = {"serve_app": 21}  # the wings; a folder around two of them would say nothing that their names do not
CODE = ("serve_app", "pairlens", "tests", "benchmarks", "examples")


def folders() -> list[str]:
    """Every folder with a tracked file of code, and all above it."""
    found: set[str] = set()
    for name in CODE:
        for path in (ROOT / name).rglob("*.py"):
            found |= {str(folder) for folder in path.relative_to(ROOT).parents if str(folder) != "."}
    return sorted(found)


def entries(folder: str) -> list[str]:
    """What a reader of the folder sees."""
    return [each.name for each in (ROOT / folder).iterdir() if each.name not in ("__pycache__", "__init__.py")]


def modules(*names: str) -> Iterator[Path]:
    for name in names:
        yield from (ROOT / name).rglob("*.py")


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after it."""
    program = f"import sys; {statement}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("folder", folders())
def test_a_folder_can_be_seen_at_once(folder: str) -> None:
    assert len(entries(folder)) <= WIDER.get(folder, MOST_ENTRIES), entries(folder)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_every_folder_of_the_product_has_its_row(page: str) -> None:
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1].strip() for line in lines if line.startswith("| `")]
    told = {name.strip("`") for cell in cells if cell.endswith("/`") for name in cell.split(", ")}
    mine = {f"{folder}/" for folder in folders() if folder.split("/")[0] in ("serve_app", "pairlens")}
    assert mine <= told, mine - told
    assert [name for name in told if not (ROOT / name).is_dir()] == []


def test_no_package_file_has_code_but_the_names_it_hands_on() -> None:
    for path in modules("serve_app", "tests", "benchmarks"):
        if path.name == "__init__.py":
            for statement in ast.parse(path.read_text(encoding="utf-8")).body:
                is_doc = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                is_name = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
                assert is_doc or is_name or isinstance(statement, ast.Import | ast.ImportFrom), path


def test_tests_never_import_benchmarks() -> None:
    for path in modules("tests"):
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [each.name for each in statement.names] if isinstance(statement, ast.Import) else []
            if isinstance(statement, ast.ImportFrom):
                names = [statement.module or ""]
            assert not any(name.partition(".")[0] == "benchmarks" for name in names), path


def test_serves_proxy_and_the_queue_load_nothing_large() -> None:
    loaded = loaded_by("import serve_app.serving.proxy, serve_app.serving.admission")
    assert not loaded & {"numpy", "PIL", "fastapi", "torch", "ray", "cv2"}


def test_what_people_import_loads_nothing_until_it_is_used() -> None:
    assert not loaded_by("import pairlens") & {"numpy", "ray", "fastapi", "pydantic", "httpx2", "serve_app"}
    assert not loaded_by("import pairlens; pairlens.Client") & {"numpy", "ray", "fastapi"}


def test_every_name_that_people_import_is_there() -> None:
    for name in pairlens.__all__:
        assert getattr(pairlens, name).__name__ == name
    assert set(dir(pairlens)) == set(pairlens.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Clients'"):
        pairlens.Clients  # noqa: B018


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("serve_app")
    for package in {name.rpartition(".")[0] for name in graph.modules} - {""}:
        assert not graph.nominate_cycle_breakers(package), package


def test_files_and_functions_stay_small() -> None:
    lengths = []
    for path in modules("serve_app"):
        source = path.read_text(encoding="utf-8")
        assert source.count("\n") <= 400, path
        for each in ast.walk(ast.parse(source)):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append((each.end_lineno or 0) - each.lineno + 1)
                assert lengths[-1] <= 50, (path, each.name)
    assert sorted(lengths)[len(lengths) * 9 // 10] <= 20
