"""`python -m tests.worlds SEED [END]`: runs the worlds of these seeds, says which don't hold."""

import sys

from tests.worlds.lived import lived


def main(arguments: list[str]) -> int:
    first = int(arguments[0])
    end = int(arguments[1]) if len(arguments) > 1 else first + 1
    failed = []
    for seed in range(first, end):
        try:
            ended = lived(seed)
        except AssertionError as error:
            failed.append(seed)
            sys.stdout.write(f"{str(error) if end == first + 1 else str(error).splitlines()[0]}\n")
        else:
            if end == first + 1:
                sys.stdout.write(f"{ended}\n")
    sys.stdout.write(f"{end - first - len(failed)} worlds held, {len(failed)} did not: {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
