"""Reads a .env file with python-dotenv, as `load_dotenv` would, and prints it as JSON."""

import json
import sys

from dotenv import dotenv_values

json.dump(dotenv_values(sys.argv[1]), sys.stdout)
