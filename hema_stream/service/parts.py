"""The parts of a running service, as handlers find them in the application."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from hema_stream.service.auth import Tickets, TokenStore
from hema_stream.service.daemon.standing import FolderStanding
from hema_stream.service.disk import Disk
from hema_stream.service.dispatch import Dispatcher
from hema_stream.service.hub import LiveHub
from hema_stream.service.jobs import JobStore
from hema_stream.service.metrics import Metrics
from hema_stream.service.rates import Rates
from hema_stream.service.retention import Retention
from hema_stream.service.scans import Scans
from hema_stream.service.settings import ServiceSettings
from hema_stream.service.sites import Sites
from hema_stream.service.uploads import Uploads
from hema_stream.service.viewer import Viewer

SETTINGS = web.AppKey("settings", ServiceSettings)
STORE = web.AppKey("store", JobStore)
HUB = web.AppKey("hub", LiveHub)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
TOKENS = web.AppKey("tokens", TokenStore)
TICKETS = web.AppKey("tickets", Tickets)
RATES = web.AppKey("rates", Rates)
VIEWER = web.AppKey("viewer", Viewer)
UPLOADS = web.AppKey("uploads", Uploads)
DISK = web.AppKey("disk", Disk)
FOLDERS = web.AppKey("folders", list[FolderStanding])
RETENTION = web.AppKey("retention", Retention)
STARTED = web.AppKey("started", datetime)
SITES = web.AppKey("sites", Sites)
SCANS = web.AppKey("scans", Scans)
METRICS = web.AppKey("metrics", Metrics)
