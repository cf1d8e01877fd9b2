"""Ids of slides that were deleted, so that what is left of one is told from what belongs to another database."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table("deleted", sa.Column("id", sa.String(40), primary_key=True))


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("deleted")
