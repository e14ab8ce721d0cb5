"""Celery's way to the work that the console does outside a request."""

from project.celery import app

from . import runs


@app.task(name="import_run", ignore_result=True)
def import_run(pk):
    """Do an import that was confirmed. A worker's process starts no others."""
    runs.work(pk)
