"""`python -m metaug config` and `python -m metaug schema`: generated files of the repository."""

import argparse
import json

from metaug.config import Config, default_config


def main() -> None:
    """Print a generated file."""
    parser = argparse.ArgumentParser(prog="python -m metaug", description=__doc__)
    parser.add_argument("what", choices=("config", "schema"))
    arguments = parser.parse_args()
    if arguments.what == "config":
        print(default_config(), end="")
    else:
        print(json.dumps(Config.model_json_schema(), indent=2))


if __name__ == "__main__":
    main()
