"""The usual way to embed: sentence-transformers on torch, in its own environment.

Argument: the model's directory. Prints one line of JSON when it is ready; then, for each line
with texts and a number of threads, one line with the seconds that encoding them took. The time of
the pipe is not counted.
"""

import json
import sys
import time

import torch
from sentence_transformers import SentenceTransformer


def main() -> None:
    """Encode what comes until standard input is closed."""
    model = SentenceTransformer(sys.argv[1], device="cpu")
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        begun = time.perf_counter()
        model.encode(
            asked["texts"], batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


if __name__ == "__main__":
    main()
