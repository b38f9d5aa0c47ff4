"""The obvious daemon, to measure env-sync beside: LaunchDarkly's Python SDK, its listener, and python-dotenv's set_key.

Takes LD_SDK_KEY, FLAGS, ENV_FILE_PATH and LAUNCHDARKLY_STREAM_URI. No debounce; a backup before each change.
"""

import os
import shutil
import threading
import time

import ldclient
from dotenv import dotenv_values, set_key
from ldclient import Context
from ldclient.config import Config

PATH = os.environ["ENV_FILE_PATH"]
FLAGS = os.environ["FLAGS"].split(",")
URI = os.environ["LAUNCHDARKLY_STREAM_URI"]
CONTEXT = Context.builder("sample-daemon").name("Daemon").build()

lock = threading.Lock()


def sync(client):
    with lock:
        values = {flag: client.variation(flag, CONTEXT, "") for flag in FLAGS}
        held = dotenv_values(PATH) if os.path.exists(PATH) else {}
        changed = {key: value for key, value in values.items() if held.get(key) != value}
        if not changed:
            return
        if os.path.exists(PATH):
            shutil.copy2(PATH, PATH + time.strftime(".%Y%m%d-%H%M%S"))
        else:
            open(PATH, "w").close()
        os.chmod(PATH, 0o600)
        for key, value in changed.items():
            set_key(PATH, key, value, quote_mode="auto")


ldclient.set_config(Config(os.environ["LD_SDK_KEY"], base_uri=URI, stream_uri=URI, events_uri=URI))
client = ldclient.get()
client.flag_tracker.add_listener(lambda change: sync(client) if change.key in FLAGS else None)
sync(client)
threading.Event().wait()
