"""Two workers of two threads, the SDK's threads started anew in each after the fork."""

import ldclient

workers = 2
threads = 2
preload_app = True
loglevel = "warning"


def post_fork(server, worker):
    ldclient.get().postfork()
