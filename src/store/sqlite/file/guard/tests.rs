use std::fs::OpenOptions;

use super::*;

/// A database with a log of some commits; none of them is copied into the file, or all.
fn made(name: &str, is_folded_back: bool) -> (PathBuf, Connection, Guard) {
    let directory = std::env::temp_dir().join(format!("seatkeeper-guard-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).expect("a directory");
    let path = directory.join("seats.db");
    let connection = open::admin(&path, Duration::ZERO, true).expect("made");
    let guard = Guard::new(&connection, &path, Arc::default()).expect("a guard");
    for _ in 0..3 {
        write(&connection, &guard, || {}).expect("nothing is wrong");
    }
    if is_folded_back {
        fold_back(&connection).expect("folded back");
    }
    (path, connection, guard)
}

/// One transaction, with an accident to the files during it.
fn write(connection: &Connection, guard: &Guard, accident: impl FnOnce()) -> Result<(), Problem> {
    connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
    guard.before_write(connection).expect("nothing is wrong yet");
    accident();
    connection.execute_batch("INSERT INTO entity (name) VALUES ('a'); COMMIT").expect("written");
    guard.after_write()
}

fn write_over(path: &Path, length: u64) {
    // Many systems have times of files in steps of some milliseconds: this is another one than that of the last write.
    std::thread::sleep(Duration::from_millis(20));
    let file = OpenOptions::new().write(true).open(path).expect("the file");
    let bytes = std::fs::read(path).expect("the file");
    file.set_len(0).expect("cut off");
    file.write_all_at(&bytes[..length as usize], 0).expect("written");
}

#[test]
fn what_happens_to_the_files_during_a_commit_is_found_before_the_answer() {
    for is_folded_back in [false, true] {
        let name = if is_folded_back { "new-log" } else { "log" };
        let (path, connection, guard) = made(name, is_folded_back);
        let whole = std::fs::metadata(&path).expect("the file").len();
        let problem = write(&connection, &guard, || write_over(&path, whole)).expect_err("the file");
        assert_eq!(problem.fault, Fault::File, "{problem:?}");
        std::fs::remove_dir_all(path.parent().expect("a directory")).expect("removed");
    }
    let (path, connection, guard) = made("cut", false);
    let log = beside(&path, "-wal");
    let whole = std::fs::metadata(&log).expect("the log").len();
    let problem = write(&connection, &guard, || write_over(&log, whole - 4120)).expect_err("the log");
    assert_eq!(problem.fault, Fault::Log, "{problem:?}");
    std::fs::remove_dir_all(path.parent().expect("a directory")).expect("removed");
}

/// The log is cut off after the transaction has written, as a COMMIT of many pages writes in many steps.
#[test]
fn a_log_that_lost_its_beginning_in_a_commit_is_found_before_the_answer() {
    for (is_folded_back, length) in [(false, 0), (true, 0), (true, WAL_HEAD_BYTES)] {
        let (path, connection, guard) = made(&format!("begin-{is_folded_back}-{length}"), is_folded_back);
        let log = beside(&path, "-wal");
        connection.execute_batch("BEGIN IMMEDIATE").expect("begun");
        guard.before_write(&connection).expect("nothing is wrong yet");
        connection.execute_batch("INSERT INTO entity (name) VALUES ('a'); COMMIT").expect("written");
        let whole = std::fs::metadata(&log).expect("the log").len();
        let file = OpenOptions::new().write(true).open(&log).expect("the log");
        file.set_len(length).and_then(|()| file.set_len(whole)).expect("cut off");
        let problem = guard.after_write().expect_err("the log");
        assert_eq!(problem.fault, Fault::Log, "{problem:?}");
        std::fs::remove_dir_all(path.parent().expect("a directory")).expect("removed");
    }
}

#[test]
fn a_log_that_begins_again_is_no_accident() {
    let (path, connection, guard) = made("again", false);
    let other = Connection::open(&path).expect("open");
    for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        for _ in 0..3 {
            write(&connection, &guard, || {}).expect("nothing is wrong");
        }
        other.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).expect(mode);
        write(&connection, &guard, || {}).expect(mode);
        // A checkpoint during a transaction.
        let passive = || other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("passive");
        write(&connection, &guard, passive).expect(mode);
    }
    drop(other);
    std::fs::remove_dir_all(path.parent().expect("a directory")).expect("removed");
}

/// A thread reads the time of the file, and is held up before it compares it. Meanwhile another thread sees a checkpoint.
#[test]
fn a_look_that_is_held_up_takes_no_checkpoint_for_an_accident() {
    let (path, connection, guard) = made("held-up", false);
    let files = guard.files.as_ref().expect("files");
    let early = std::fs::metadata(&path).expect("the file");
    std::thread::sleep(Duration::from_millis(20));
    fold_back(&connection).expect("folded back");
    let late = std::fs::metadata(&path).expect("the file");
    assert_ne!(early.modified().expect("a time"), late.modified().expect("a time"), "a checkpoint writes the file");
    guard.look().expect("a checkpoint");
    files.only_checkpoints(&early, None).expect("the same checkpoint");
    // An accident is found all the same.
    write_over(&path, late.len());
    let problem = files.only_checkpoints(&early, None).expect_err("the file");
    assert_eq!(problem.fault, Fault::File, "{problem:?}");
    std::fs::remove_dir_all(path.parent().expect("a directory")).expect("removed");
}
