"""What pandas and SQLAlchemy make of a database file. Arguments: the file; and `replace` to have pandas replace a table."""
import sqlite3
import sys
import warnings

import pandas
import sqlalchemy
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

file = sys.argv[1]
engine = sqlalchemy.create_engine(f"sqlite:///{file}")
accounts = pandas.DataFrame({"username": ["pandas1", "pandas2"], "entity_id": [42, 42]})

if sys.argv[2:] == ["replace"]:
    accounts.to_sql("account", engine, if_exists="replace", index=False)
    sys.exit()


def refused(what, change):
    try:
        change()
        print(f"{what}: nothing refuses it")
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        print(f"{what}: {type(cause).__name__} {cause}")


with warnings.catch_warnings():
    warnings.simplefilter("error")
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
print("reflection:", {"entity", "account", "credential", "license_pool", "seat"} <= set(tables.tables))

print(f"pandas reads: {len(pandas.read_sql('SELECT * FROM entity', engine))} entities")
print(f"pandas appends: {accounts.to_sql('account', engine, if_exists='append', index=False)} accounts")

Base = automap_base(metadata=tables)
Base.prepare()
Account, Pool = Base.classes.account, Base.classes.license_pool
with Session(engine) as session:
    account = Account(username="orm", entity_id=42)
    session.add(account)
    session.commit()
    print("SQLAlchemy adds an account: active", account.active)
    account.note = "changed"
    session.commit()
    print("SQLAlchemy changes it")
    pool = Pool(entity_id=42, license_type="SqlBackup", seats_total=5)
    session.add(pool)
    session.commit()
    pool.seats_total = 7
    session.commit()
    seats = session.execute(sqlalchemy.text("SELECT count(*) FROM seat WHERE pool_id = :id"), {"id": pool.id}).scalar()
    print(f"SQLAlchemy adds a pool with {seats} seats")


def delete():
    with Session(engine) as session:
        session.delete(session.get(Account, account_id))
        session.commit()


with Session(engine) as session:
    account_id = session.query(Account).filter_by(username="orm").one().id
refused("a deleted account", delete)
reader = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
refused("a read-only connection", lambda: reader.execute("UPDATE entity SET note = 'x'"))
