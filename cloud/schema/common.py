"""What tables share: their metadata, and types that SQLite and PostgreSQL hold alike."""

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, String, TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class PeerText(TypeDecorator[str]):
    """Text that a peer chose; PostgreSQL holds no NUL, and the true text stands in the signed message."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\x00", "\N{REPLACEMENT CHARACTER}")


Serial = BigInteger().with_variant(Integer, "sqlite")
Name = String(32)


def utility() -> Column[str]:
    """Return the column by which each row belongs to a utility."""
    return Column("utility", Name, primary_key=True)
