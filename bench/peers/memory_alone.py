"""A collection asked in process, beside the PoP that keeps it: what a search costs by itself.

Run as `python -m bench.peers.memory_alone HOME NAME QUERIES.npy LIMIT`. It opens the collection as
any other process of the machine may, to read, and says so in one line of JSON once its index is
open; then it answers each line that it reads with so many searches, and their seconds of CPU, all
threads together.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from littoral.adapters.memory.embedded import open_collections
from littoral.terms.memory import Found, Nearest, Search


def main() -> None:
    """Search until told to stop."""
    home, name, path, limit = sys.argv[1:]
    collection = open_collections(Path(home), read_only=True).open(name)
    queries = [row.tobytes() for row in np.load(path)]

    def searched(number: int) -> Found:
        query = Nearest(queries[number % len(queries)])
        return collection.search(Search(query=query, limit=int(limit), with_content=False))

    print(json.dumps({"plan": searched(0).plan}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        numbers = range(asked["begin"], asked["begin"] + asked["count"])
        began_s = time.process_time()
        found = [searched(number) for number in numbers]
        cpu_s = time.process_time() - began_s
        ids = [[hit.record.id for hit in each.hits] for each in found]
        print(json.dumps({"cpu_s": cpu_s, "found": ids}), flush=True)


if __name__ == "__main__":
    main()
