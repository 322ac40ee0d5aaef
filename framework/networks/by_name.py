"""Every network under its name in conf/backbone."""

from typing import Any

from framework.errors import unknown
from framework.networks import build, micro
from framework.networks.sam2 import Sam2Network


def network(name: str = "micro", **options: Any) -> Sam2Network:
    """A frozen network with its weights, behind the facade: `network("sam2.1_hiera_l", checkpoint="large.pt")`.

    `options` are those of `framework.networks.micro.network` for `micro`, the embedded network, and of
    `framework.networks.build.network` for all others. Raises InputError for an unknown name, for options that cannot
    be, and for weights that are missing or do not fit.
    """
    if name == "micro":
        return micro.network(**options)
    if name not in build.NAMES:
        raise unknown("network", name, ("micro", *build.NAMES))
    return build.network(name, **options)
