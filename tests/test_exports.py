"""Public names: each package's stub, read by type checkers, is what it offers at run time."""

import importlib
import pkgutil
from importlib.resources import files
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import tinbergen
from tinbergen._lazy import attach

HOME = Path(str(files("tinbergen")))
STUBS = sorted(HOME.rglob("__init__.pyi"))
PACKAGES = [".".join(("tinbergen", *stub.parent.relative_to(HOME).parts)) for stub in STUBS]


def test_every_room_is_a_name_of_the_package():
    rooms = {module.name for module in pkgutil.iter_modules(tinbergen.__path__) if module.ispkg}
    assert rooms - {"cli"} <= set(dir(tinbergen))


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_resolves(name):
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package))
    beside = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for public in package.__all__:
        found = getattr(package, public)
        assert isinstance(found, ModuleType) == (public in beside), f"a module hides {public}"
        if isinstance(found, type | FunctionType):
            assert found.__module__.startswith(f"{name}."), f"{public} is not from here"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'tinbergen' has no attribute 'nothing'"):
        _ = tinbergen.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_packages_ship_what_type_checkers_read():
    assert (HOME / "py.typed").is_file()


def test_a_stub_is_all_it_takes(tmp_path, monkeypatch):
    package = tmp_path / "lazy_toy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__init__.pyi").write_text(
        "from . import inner as inner\nfrom .inner import one as one\n\nversion: str\n"
    )
    (package / "inner.py").write_text("one = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    get, names, public = attach("lazy_toy", str(package / "__init__.py"))

    assert public == names() == ["inner", "one"]
    assert get("one") == get("inner").one == 1
