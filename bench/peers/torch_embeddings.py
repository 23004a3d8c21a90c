"""The usual way to embed: sentence-transformers on torch, in its own environment.

Argument: the model's directory. Prints one line of JSON when it is ready; then, for each line
with texts and a number of threads, one line with the seconds that encoding them took, by the clock
and of the processor. The time of the pipe is not counted.
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
        begun, begun_cpu = time.perf_counter(), time.process_time()
        model.encode(
            asked["texts"], batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        took = {"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - begun_cpu}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
