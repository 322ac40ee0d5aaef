"""SAM2-family networks behind one stateless facade."""

# Importing sam2 initialises Hydra's global state, which would make a later `@hydra.main` fail ("GlobalHydra is already
# initialized"). It is imported here, once, and its initialisation is undone; a Hydra application that is running
# already is left alone. So every module of this package may import sam2 at its top.

from hydra.core.global_hydra import GlobalHydra

_hydra_was_running = GlobalHydra.instance().is_initialized()

import sam2  # noqa: E402, F401

if not _hydra_was_running:
    GlobalHydra.instance().clear()
