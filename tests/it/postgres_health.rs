//! The condition of a node on PostgreSQL: locks of other programs, changes that cannot be saved, a server that takes only reads.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, LicenseType};
use seatkeeper::store::{self, Actor, Call, Condition, Options, Store, StoreError};

use crate::harness::{sample_data, wait_until};
use crate::postgres::{Cluster, Database};

struct Node {
    store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn on(database: &Database) -> Node {
        let options = Options { busy_timeout: Duration::from_secs(2), ..Options::default() };
        let store = store::open(&database.url().into(), &options, Arc::new(Metrics::new())).expect("open");
        Node { store, runtime: tokio::runtime::Runtime::new().expect("a runtime") }
    }

    fn condition(&self) -> Condition {
        self.runtime.block_on(self.store.condition())
    }

    fn ready(&self) -> Result<(), StoreError> {
        self.runtime.block_on(self.store.ready())
    }

    fn assign(&self, username: &str) -> Result<(), StoreError> {
        let call = Call {
            id: uuid::Uuid::new_v4(),
            now: Timestamp::now(),
            actor: Actor::command_line(),
            name: None,
            trail: None,
        };
        let request = AssignRequest {
            username: Some(username.into()),
            provider_entity_id: Some(42),
            license_type: Some(LicenseType::SqlBackup),
        };
        self.runtime.block_on(self.store.assign(call, request)).map(|seat| assert!(seat.is_ok(), "{seat:?}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.store.close();
    }
}

fn seeded(cluster: &Arc<Cluster>) -> Database {
    let database = cluster.database();
    database.execute(&sample_data()).expect("seed");
    database
}

#[test]
fn a_lock_that_keeps_every_change_waiting_is_seen() {
    let database = seeded(&Cluster::shared());
    let node = Node::on(&database);
    wait_until("it was looked at", || node.condition().database_bytes.is_some_and(|bytes| bytes > 1024 * 1024));
    let condition = node.condition();
    assert_eq!((condition.lock_held, condition.commit_failed, condition.stuck), (None, None, None));
    assert_eq!((condition.disk_free_bytes, condition.wal_bytes), (None, None), "not of this database");
    let other = database.session();
    other.execute("BEGIN; LOCK TABLE seat IN SHARE MODE").expect("a lock");
    wait_until("the lock is seen", || node.condition().lock_held.is_some_and(|held| held > Duration::from_secs(1)));
    assert!(node.condition().oldest_transaction.is_some(), "of the same login");
    other.execute("COMMIT").expect("released");
    wait_until("it is gone", || node.condition().lock_held.is_none());
    // A row that is locked is no lock on all.
    other.execute("BEGIN; UPDATE license_pool SET note = 'a' WHERE id = 2").expect("a change");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(node.condition().lock_held, None);
    other.execute("ROLLBACK").expect("undone");
}

/// As on a full disk. The node finds out by itself that changes can be saved again.
#[test]
fn changes_that_cannot_be_saved_are_seen_until_one_is() {
    let database = seeded(&Cluster::shared());
    let node = Node::on(&database);
    node.assign("anna").expect("the database works");
    let full = |table: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
        )
    };
    database.execute(&full("account")).expect("a trigger");
    database.execute(&full("credential_use")).expect("a trigger");
    assert!(matches!(node.assign("bert"), Err(StoreError::Failed(_))));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(2));
        assert!(node.condition().commit_failed.is_some(), "none was saved");
        assert!(matches!(node.ready(), Err(StoreError::Unknown(_))));
    }
    database.execute("DROP TRIGGER full_disk ON account; DROP TRIGGER full_disk ON credential_use").expect("dropped");
    wait_until("it is ready again", || node.ready().is_ok());
    assert_eq!(node.condition().commit_failed, None);
    assert_eq!(database.query::<i64>("SELECT count(*) FROM credential_use"), 0, "it left nothing");
    node.assign("bert").expect("the database works");
}

#[test]
fn a_server_that_takes_only_reads_makes_the_node_not_ready() {
    let cluster = Cluster::start(&[]);
    let database = seeded(&cluster);
    let node = Node::on(&database);
    assert!(node.ready().is_ok());
    let superuser = cluster.superuser("postgres");
    let set = |setting: &str| {
        superuser.execute(&format!("ALTER SYSTEM {setting}")).expect("a setting");
        superuser.execute("SELECT pg_reload_conf()").expect("a setting");
    };
    set("SET default_transaction_read_only = on");
    wait_until("it is not ready", || matches!(node.ready(), Err(StoreError::Unreachable(_))));
    set("RESET default_transaction_read_only");
    wait_until("it is ready again", || node.ready().is_ok());
    node.assign("anna").expect("the database works");
}
