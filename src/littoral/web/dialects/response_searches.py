"""OpenAI's `file_search_call` in a response: what was looked for, what was found, who cites it."""

from collections.abc import Callable, Sequence
from typing import Final

from littoral.memory.citing import marks_in, shown
from littoral.terms.memory import Cited
from littoral.terms.sources import Sources
from littoral.terms.stores import file_in

__all__ = ["RESULTS", "FileSearch"]

RESULTS: Final = "file_search_call.results"
"""What `include` says to have the passages in the response."""


class FileSearch:
    """The output item that is a search."""

    STAGES: Final = ("in_progress", "searching", "completed")

    def __init__(
        self, sources: Sources, latest: Callable[[], Sources | None], with_results: bool
    ) -> None:
        """Have been done.

        Args:
            sources: what was found.
            latest: the same when the response is over, with all that is known then.
            with_results: the passages are to be in the item.
        """
        self.id = ""
        self.status = "in_progress"
        self._sources = sources
        self._latest = latest
        self._with_results = with_results
        self.told = bool(sources.passages) or not sources.pipeline
        """There was a search: not every pipeline makes one."""

    def item(self) -> dict[str, object]:
        """The item as it is now."""
        done = self.status == "completed" and self._with_results
        return {
            "id": self.id,
            "type": "file_search_call",
            "status": self.status,
            "queries": [self._sources.question],
            "results": [_result(each) for each in self._sources.passages] if done else None,
        }

    def annotations_of(self, text: str) -> list[dict[str, object]]:
        """The citations of a text."""
        passages = self._sources.passages
        return [
            {
                "type": "file_citation",
                "index": mark.end,
                **_file(passages[mark.passage]),
            }
            for mark in marks_in(text, len(passages))
        ]

    def shown(self, texts: Sequence[str]) -> dict[str, object]:
        """The `littoral` member of the response."""
        return shown(self._latest() or self._sources, texts)


def _file(passage: Cited) -> dict[str, object]:
    """The file that a passage is of: one of a vector store, or what the document is called."""
    file_id, filename = file_in(passage.document)
    said = passage.metadata.get("filename")
    return {"file_id": file_id, "filename": said if isinstance(said, str) else filename}


def _result(passage: Cited) -> dict[str, object]:
    attributes = {
        name: value
        for name, value in passage.metadata.items()
        if isinstance(value, str | int | float | bool)
    }
    return {
        **_file(passage),
        "score": passage.score,
        "text": passage.text,
        "attributes": attributes,
    }
