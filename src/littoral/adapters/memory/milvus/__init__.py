"""Collections on a Milvus server, through pymilvus.

`collections` is the driver, `shelf` one collection, `link` what goes wrong between here and there.
"""

from littoral.adapters.memory.milvus.collections import MilvusCollections

__all__ = ["MilvusCollections"]
