"""The predecessor of prefork-server: Flask and LaunchDarkly's Python SDK under gunicorn, preloaded."""

import os

import ldclient
from flask import Flask, jsonify
from ldclient import Context
from ldclient.config import Config

FLAG = os.environ.get("LD_FLAG_KEY", "sample-flag")

ldclient.set_config(
    Config(
        os.environ["LAUNCHDARKLY_SDK_KEY"],
        base_uri=os.environ["LAUNCHDARKLY_BASE_URI"],
        stream_uri=os.environ["LAUNCHDARKLY_STREAM_URI"],
        events_uri=os.environ["LAUNCHDARKLY_EVENTS_URI"],
    )
)
client = ldclient.get()

app = Flask(__name__)


@app.get("/")
def health():
    return jsonify(status="ok", initialized=client.is_initialized(), pid=os.getpid(), ppid=os.getppid())


@app.get("/flag")
def flag():
    value = client.variation(FLAG, Context.create("prefork-server"), False)
    return jsonify(flag=FLAG, value=value, initialized=client.is_initialized())
