"""Files into a vector store of a PoP and questions to it, by OpenAI's own client, unmodified.

    OPENAI_BASE_URL=http://127.0.0.1:7400/v1 OPENAI_API_KEY=lit_… \
        python examples/openai_vector_store.py "How do I join a second machine?" README.md docs/*.md

Needs `pip install openai`.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from openai import OpenAI


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the files in, ask, say what was found, and leave nothing behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question")
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args(arguments)

    client = OpenAI()  # where and with which key is said by the environment
    store = client.vector_stores.create(name="an example")
    sent: list[str] = []
    try:
        with ExitStack() as opened:
            batch = client.vector_stores.file_batches.upload_and_poll(
                store.id, files=[opened.enter_context(path.open("rb")) for path in given.files]
            )
        print(f"{store.id}: {batch.file_counts.completed} of {batch.file_counts.total} files")
        for file in client.vector_stores.files.list(store.id):
            sent.append(file.id)
            if file.last_error is not None:
                print(f"{file.id} is not in it: {file.last_error.message}")
        for hit in client.vector_stores.search(store.id, query=given.question, max_num_results=3):
            print(f"\n{hit.filename} ({hit.score:.2f})\n{hit.content[0].text}")
    finally:
        client.vector_stores.delete(store.id)
        for file_id in sent:
            client.files.delete(file_id)


if __name__ == "__main__":
    main()
