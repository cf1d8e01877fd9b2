"""Jobs: what was submitted, where it stands, kept in a database so that nothing is lost or done twice."""

from hema_stream.service.jobs.job import Job, Origin, Status
from hema_stream.service.jobs.store import JobStore, Page

__all__ = ["Job", "JobStore", "Origin", "Page", "Status"]
