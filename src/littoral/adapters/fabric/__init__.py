"""The fabric between PoPs, on Zenoh: the `Names` port (decision 15)."""

from littoral.adapters.fabric.names import ZenohNames
from littoral.adapters.fabric.place import FabricPlace

__all__ = ["FabricPlace", "ZenohNames"]
