"""Celery's way to the work that the console does outside a request."""

from connections.jobs import bulk_change, import_job
from project.celery import app


@app.task(name="import_run", ignore_result=True)
def import_run(pk):
    """Do an import that was confirmed. A worker's process starts no others."""
    import_job.execute(pk)


@app.task(name="change_run", ignore_result=True)
def change_run(pk):
    """Do a change of many that was confirmed."""
    bulk_change.execute(pk)


TASKS_BY_KIND = {"import": import_run, "change": change_run}
