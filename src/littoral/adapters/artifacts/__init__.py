"""The store of artifacts: `HOME/artifacts`, whole files that engines can map.

- `store`: the one writer, and what it decides: room, pins, what is dropped.
- `intake`, `draft_intake`: an artifact, or a draft of one, that is being filled chunk by chunk.
- `shelf`: what is here, for any number of processes that read.
- `slot` is one file and the map of what is there; `places` says what is where.

Rules
- A file is known by what it is, so two artifacts that have it share it; a chunk that is held in any
  file is copied from there before anybody is asked for it.
- Bytes are written, synced, and only then said to be here. Whenever a process is killed or the
  power fails, nothing that was said is lost, and no wrong byte is under a right name.
- A whole file gets its own name when its SHA-256 is the one of the manifest; engines and front
  doors see only those.
- Files are written by system calls and never through a mapping: a full disk is an error
  (DiskShortError) and not a signal.

It does not know where bytes come from, nor who may have an artifact.
"""

from littoral.adapters.artifacts.disk import Disk
from littoral.adapters.artifacts.draft_intake import DraftIntake
from littoral.adapters.artifacts.intake import Intake
from littoral.adapters.artifacts.scrubbing import Scrubbed
from littoral.adapters.artifacts.shelf import Holding, Row, Shelf, Stats
from littoral.adapters.artifacts.store import ArtifactStore, open_store
from littoral.adapters.artifacts.sweeping import Swept

__all__ = [
    "ArtifactStore",
    "Disk",
    "DraftIntake",
    "Holding",
    "Intake",
    "Row",
    "Scrubbed",
    "Shelf",
    "Stats",
    "Swept",
    "open_store",
]
