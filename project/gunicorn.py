"""How gunicorn serves the console: `python -m gunicorn --config project/gunicorn.py`.

HOST and PORT come from the environment; GUNICORN_CMD_ARGS overrides anything here.
"""

import os

from django.conf import settings

host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")

wsgi_app = "project.wsgi:application"
bind = f"{host}:{port}"
worker_class = "gthread"
workers = 2
threads = 4
timeout = 120  # the check of a large file may take a while
preload_app = True  # bad keys stop the server, instead of each worker again and again
loglevel = "warning"
# TRUSTED_PROXIES says whose X-Forwarded-* headers count; gunicorn would trust 127.0.0.1.
forwarded_allow_ips = ""
secure_scheme_headers = {}


def when_ready(server):
    if settings.HTTPS:
        print(f"Serving on {bind}, for a proxy with HTTPS in front (see HTTPS).", flush=True)
    else:
        print(f"Serving on http://localhost:{port}", flush=True)
