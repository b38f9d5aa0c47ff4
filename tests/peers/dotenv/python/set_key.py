"""Sets a key in each of many files with python-dotenv's set_key, and reads files, all given as JSON on standard input.

In:  [{"file": "…", "key": "…", "value": "…", "edited": "…"}, …]
Out: [[what set_key makes of the file, what the edited file says], …], both as python-dotenv reads them.
"""

import io
import json
import logging
import os
import sys
import tempfile

from dotenv import dotenv_values, set_key

logging.disable(logging.CRITICAL)


def read(text):
    # As a file is read: with universal newlines.
    stream = io.TextIOWrapper(io.BytesIO(text.encode()))
    return dotenv_values(stream=stream, interpolate=False)


def after_set_key(case):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, ".env")
        with open(path, "w", newline="") as file:
            file.write(case["file"])
        set_key(path, case["key"], case["value"])
        with open(path, newline="") as file:
            return read(file.read())


json.dump([[after_set_key(case), read(case["edited"])] for case in json.load(sys.stdin)], sys.stdout)
