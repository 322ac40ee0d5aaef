"""Every network under its name in conf/backbone."""

from typing import Any

from framework.errors import unknown
from framework.networks import build, micro, photo
from framework.networks.sam2 import Sam2Network

EMBEDDED = {"micro": micro.network, "photo": photo.network}
"""Networks whose weights are part of the package."""


def network(name: str = "micro", **options: Any) -> Sam2Network:
    """A frozen network with its weights, behind the facade: `network("sam2.1_hiera_l", checkpoint="large.pt")`.

    `options` are those of `framework.networks.micro.network` for the embedded networks, `micro` and `photo`, and of
    `framework.networks.build.network` for all others. Raises InputError for an unknown name, for options that cannot
    be, and for weights that are missing or do not fit.
    """
    if name in EMBEDDED:
        return EMBEDDED[name](**options)
    if name not in build.NAMES:
        raise unknown("network", name, (*EMBEDDED, *build.NAMES))
    return build.network(name, **options)
