"""
The bridge to Celery: what a consumer escalates ends in one outcome, sent to whoever asked.

Knows the rooms of messages and layers below it; what touches Celery's insides is in `engine`.
"""

from chancelery.retries import Retry
from chancelery.tasks import django_task as django_task  # Celery's workers find it here
from chancelery.tasks.control import obey
from chancelery.tasks.current import current_job
from chancelery.tasks.decorator import ConsumerTask, consumer_task
from chancelery.tasks.escalate import escalate
from chancelery.tasks.inbox import deliver_inbox
from chancelery.tasks.job import Job
from chancelery.tasks.running import TaskMessage

__all__ = [
    "ConsumerTask",
    "Job",
    "Retry",
    "TaskMessage",
    "consumer_task",
    "current_job",
    "deliver_inbox",
    "escalate",
    "obey",
]
