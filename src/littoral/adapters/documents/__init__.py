"""Files of people as passages and records: text, Markdown, HTML, PDF, DOCX, JSONL, Parquet.

`kinds` tells what a file is; `texts`, `packed` and `rows` read it; `cutting` cuts documents into
passages; `reading` puts these together. All of it runs in a process of its own (`worker`), which
`reader` starts, watches and replaces; `finding` finds the files that a person means, and `added`
is the book of which documents came from where.
"""

from littoral.adapters.documents.finding import Source, Sources, found_sources, source
from littoral.adapters.documents.reader import Reader
from littoral.adapters.documents.words import Begun, Job, Said, Some, Still

__all__ = [
    "Begun",
    "Job",
    "Reader",
    "Said",
    "Some",
    "Source",
    "Sources",
    "Still",
    "found_sources",
    "source",
]
