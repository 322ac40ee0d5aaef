"""What decides a result: values, settings, and the code of the classes in use, also where a user installed it."""

import functools
import importlib
import sys
from dataclasses import dataclass
from enum import Enum
from types import ModuleType

import numpy as np
import pytest
import torch

from framework.storage import identity
from policies.sam2 import Sam2

CACHES = (identity._path, identity._installed, identity._distributions, identity._brought, identity._imported)


def forget():
    """What a process remembers of files, as a new process would find them."""
    for one in CACHES:
        one.cache_clear()
    identity._READ.clear()
    importlib.invalidate_caches()


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Writes a package of a user, installed or not, and hands back a policy of it with the digest of its code."""

    def write(folder, version=None, **files):
        home = tmp_path / folder
        package = home / "myplugin"
        package.mkdir(parents=True, exist_ok=True)
        for name, text in {"__init__": "", **files}.items():
            (package / f"{name}.py").write_text(text)
        if version is not None:
            for old in home.glob("*.dist-info/*"):
                old.unlink()
            about = home / "my_plugin-0.dist-info"
            about.mkdir(exist_ok=True)
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: my-plugin\nVersion: {version}\n")
            (about / "top_level.txt").write_text("myplugin\n")
        if str(home) not in sys.path:
            monkeypatch.syspath_prepend(str(home))
        for name in [name for name in sys.modules if name.partition(".")[0] == "myplugin"]:
            monkeypatch.delitem(sys.modules, name)
        forget()
        return identity.code_digest(importlib.import_module("myplugin.mine").Mine())

    yield write
    forget()


MINE = "from policies.sam2 import Sam2\nclass Mine(Sam2):\n    pass\n"


@pytest.mark.parametrize("folder", ["checkout", "lib/site-packages"])
def test_edited_code_is_another_experiment(plug_in, folder):
    first = plug_in(folder, mine=MINE)
    assert plug_in(folder, mine=MINE) == first
    assert plug_in(folder, mine=MINE + "    width = 2\n") != first
    helped = plug_in(folder, mine=f"from myplugin.help import WIDTH\n{MINE}", help="WIDTH = 1\n")
    assert plug_in(folder, mine=f"from myplugin.help import WIDTH\n{MINE}", help="WIDTH = 2\n") != helped


def test_an_upgraded_distribution_is_another_experiment(plug_in):
    first = plug_in("site-packages", "1.0", mine=MINE)
    assert plug_in("site-packages", "1.0", mine=MINE) == first
    assert plug_in("site-packages", "1.1", mine=MINE) != first


def test_code_beside_a_plug_in_counts_as_far_as_it_is_not_installed(plug_in, tmp_path):
    text = f"import beside\nimport numpy\n{MINE}"
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/beside.py").write_text("A = 1\n")
    first = plug_in("checkout", mine=text)
    (tmp_path / "checkout/beside.py").write_text("A = 2\n")
    assert plug_in("checkout", mine=text) != first


def test_a_base_of_ours_counts_for_a_plug_in(plug_in, monkeypatch):
    first = plug_in("site-packages", "1.0", mine=MINE)
    source = identity._source
    monkeypatch.setattr(identity, "_source", lambda name: source(name) + b"#" * (name == "policies.sam2"))
    assert plug_in("site-packages", "1.0", mine=MINE) != first


@dataclass
class Holder:
    """Of parts in places where a policy may keep them."""

    part: object = None


def test_parts_in_lists_mappings_and_functions_count():
    for part in (Sam2(), [Sam2()], {"a": (Sam2(),)}, functools.partial(Sam2, slots=3), Sam2, Holder(Sam2())):
        assert "policies.sam2" in identity._modules_in(Holder(part))
    assert "policies.sam2" not in identity._modules_in(Holder("policies.sam2"))


def test_libraries_do_not_count():
    nothing = identity.code_digest()
    assert identity.code_digest(torch.nn.Linear(2, 2), np.float64(1.0), [torch.relu], {"a": Colour}) != nothing
    assert identity.code_digest(torch.nn.Linear(2, 2), np.float64(1.0), functools.partial(torch.add)) == nothing


def test_code_without_a_file_is_never_the_same(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    for module in ("__main__", "made_up"):
        forget()
        first, again = (identity.code_digest(module) for _ in range(2))
        forget()
        assert first != again, "a notebook's cell may have been edited since"


def test_a_module_that_is_reloaded_is_read_again(plug_in, tmp_path):
    """As notebooks do with a file that is edited; until then the code that was loaded is what runs."""
    first = plug_in("checkout", mine=MINE)
    (tmp_path / "checkout/myplugin/mine.py").write_text(f"from policies.rmem import RMem\n{MINE}    width = 22\n")
    module = sys.modules["myplugin.mine"]
    assert identity.code_digest(module.Mine()) == first
    importlib.reload(module)
    assert module.Mine.width == 22 and identity.code_digest(module.Mine()) != first
    followed: set[str] = set()
    identity._follow("myplugin.mine", followed)
    assert "policies.rmem" in followed


class Colour(Enum):
    """Of a plug-in's option."""

    RED = 1
    BLUE = 2


def test_options_that_are_choices_or_functions_with_arguments_count():
    assert identity.describe(Holder(Colour.RED)) != identity.describe(Holder(Colour.BLUE))
    two, three = functools.partial(torch.add, alpha=2), functools.partial(torch.add, alpha=3)
    assert identity.describe(two) != identity.describe(three) and identity.describe(two) == identity.describe(two)


class Private:
    """Keeps what it is given under private names, and a cache."""

    def __init__(self, width):
        self._width, self._cache = width, {}


class Part(torch.nn.Module):
    """A module with a part that is none."""

    def __init__(self, part):
        super().__init__()
        self.part = part


def test_options_under_private_names_and_parts_of_modules_count():
    one, two, used = Private(1), Private(2), Private(1)
    used._cache["a"] = 3
    assert identity.describe(one) != identity.describe(two) and identity.describe(one) == identity.describe(used)
    assert identity.describe(Part(Sam2(4))) != identity.describe(Part(Sam2(5)))
    assert identity.describe(Part(Sam2(4))) == identity.describe(Part(Sam2(4)))
    assert identity.describe(Part(Colour.RED)) != identity.describe(Part(Colour.BLUE))


def test_a_value_without_attributes_is_a_number_or_refused():
    assert identity.describe(np.int64(3)) == identity.describe(3) != identity.describe(np.int64(4))
    with pytest.raises(TypeError):
        identity.describe(object())


def test_versions_are_those_in_use():
    assert identity.versions() == {
        "numpy": np.__version__,
        "sam2": "1.1.0",
        "torch": torch.__version__,
    }


def test_weights_and_settings_of_a_module_are_identity():
    one, two = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    assert identity.describe(one) != identity.describe(two)
    two.load_state_dict(one.state_dict())
    assert identity.describe(one) == identity.describe(two)
    with torch.no_grad():
        two.bias[1] += 1e-6
    assert identity.describe(one) != identity.describe(two)
    relu, leaky = torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.2)
    assert identity.describe(relu) != identity.describe(leaky)


def test_code_identity_follows_a_policy_and_its_siblings(tmp_path, monkeypatch):
    package = tmp_path / "mypolicies"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("WIDTH = 1\n")
    (package / "mine.py").write_text("from mypolicies.base import WIDTH\nclass Mine: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    from mypolicies.mine import Mine

    before = identity.code_digest(Mine())
    assert before != identity.code_digest() and before == identity.code_digest(Mine())
    (package / "base.py").write_text("WIDTH = 2\n")
    identity._READ.clear()
    assert identity.code_digest(Mine()) != before
    (package / "other.py").write_text("HEIGHT = 2\n")
    identity._READ.clear()
    assert identity.code_digest("framework.evaluation.evaluate", Mine()) == identity.code_digest(
        Mine(), "framework.tracker", "framework.evaluation.evaluate"
    )
