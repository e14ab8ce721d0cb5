"""Celery tasks: what a worker does for the console. Their names are the TASK of each run model."""

from celery import shared_task

from connections.jobs import bulk_change, import_job
from connections.models import ChangeRun, ImportRun


@shared_task(name=ImportRun.TASK, ignore_result=True)
def execute_import(pk):
    """Do a confirmed import. A worker starts no further processes for it."""
    import_job.execute(pk)


@shared_task(name=ChangeRun.TASK, ignore_result=True)
def execute_bulk_change(pk):
    """Do a confirmed bulk change."""
    bulk_change.execute(pk)
