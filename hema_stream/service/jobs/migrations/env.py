"""Runs the migrations over the connection that ``open_database`` hands in."""

from alembic import context

from hema_stream.service.jobs.job import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
