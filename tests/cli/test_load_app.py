from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rediq_trio as rediq
from rediq_trio.cli.load_app import load_app


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return tmp_path


def test_a_module_of_the_current_folder_is_found(folder: Path) -> None:
    (folder / "loading_one.py").write_text("import rediq_trio\napp = rediq_trio.App()\n")
    assert isinstance(load_app("loading_one:app"), rediq.App)


def test_an_attribute_of_an_attribute_is_found(folder: Path) -> None:
    (folder / "loading_two.py").write_text(
        "import rediq_trio\nclass Of:\n    app = rediq_trio.App()\n"
    )
    assert isinstance(load_app("loading_two:Of.app"), rediq.App)


def test_a_submodule_that_is_missing_is_named(folder: Path) -> None:
    (folder / "loading_package").mkdir()
    with pytest.raises(rediq.ConfigError, match=r"no module 'loading_package\.sub'"):
        load_app("loading_package.sub:app")


def test_a_missing_import_of_the_module_itself_is_told_apart(folder: Path) -> None:
    (folder / "loading_three.py").write_text("import loading_nowhere\n")
    with pytest.raises(rediq.ConfigError, match=r"importing loading_three failed.*loading_nowhere"):
        load_app("loading_three:app")


def test_an_error_of_the_module_comes_with_its_place(folder: Path) -> None:
    (folder / "loading_four.py").write_text("\n\n1 / 0\n")
    with pytest.raises(rediq.ConfigError, match=r"ZeroDivisionError.*loading_four\.py, line 3"):
        load_app("loading_four:app")


def test_a_module_without_an_app_is_told_how_to_make_one(folder: Path) -> None:
    (folder / "loading_five.py").write_text("")
    with pytest.raises(rediq.ConfigError, match=r"app = rediq\.App\(\)"):
        load_app("loading_five:app")


@pytest.mark.parametrize("target", ["", "module", "module:", ":app"])
def test_a_target_without_both_parts_is_refused(target: str) -> None:
    with pytest.raises(rediq.ConfigError, match="module:attribute"):
        load_app(target)
