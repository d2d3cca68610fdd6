"""Alembic's way in: runs the migrations on the connection, and in the transaction, that the caller holds."""

from alembic import context

from registry.db.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds it all
    render_as_batch=True,  # SQLite changes a table by copying it
    compare_type=True,
)
context.run_migrations()
