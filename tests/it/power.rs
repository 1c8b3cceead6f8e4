//! The power goes out. The disk holds what was synced and any part of the rest; what the service had acknowledged must be there,
//! calls that were under way are there whole or not at all, and every invariant holds.
//!
//! A service under load is traced once (`power/trace.rs`), and from the trace many images of the disk are made, as it may have
//! looked after a power cut at any moment (`power/images.rs`). `tests/disk/README.md` says how to run more and to repeat one.

mod images;
mod load;
mod recording;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use seatkeeper::metrics::Metrics;
use seatkeeper::store;
use seatkeeper::store::sqlite::SCHEMA_VERSION;

use crate::disk::Disk;
use crate::faults;
use crate::harness::*;
use crate::kill::{Random, number_from};
use images::{ImageFile, Loss};
use load::End;
use recording::{Holding, Recording, apply, keep_before};
use trace::Event;

/// Images of each recording.
fn images() -> u64 {
    number_from("SEATKEEPER_POWER_IMAGES").unwrap_or(200)
}

fn seed() -> u64 {
    let seed = number_from("SEATKEEPER_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("SEATKEEPER_SEED={seed}");
    seed
}

#[test]
fn every_acknowledged_change_survives_a_power_cut() {
    let seed = seed();
    let disk = Disk::new();
    let directory = recorded(&disk, || load::record(&disk, &[End::Stop, End::Kill, End::Stop], &mut Random::new(seed)));
    let recording = judge(&directory, seed);
    assert!(recording.acknowledged() > 300, "too few to show anything");

    // The test itself: two faults that it must find in the same recording.
    let some = 0..100;
    let found = examine(&recording, seed, some.clone(), true, &holds);
    println!("a disk that ignores syncs: {} of {} images are wrong", found.len(), some.end);
    assert!(found.len() as u64 > some.end / 3, "a disk that ignores syncs goes unnoticed: {found:#?}");
    let early = Recording::load(&directory).answered_too_early();
    let found = examine(&early, seed, some.clone(), false, &holds);
    println!("answers before the commit: {} of {} images are wrong", found.len(), some.end);
    // A few, because the power must go out between the answer and the commit.
    assert!(!found.is_empty(), "answers before the commit go unnoticed");
}

/// What was written before a sync that failed is lost, and the kernel does not say so again. A service that wrote on would
/// acknowledge what stands in the log behind a gap.
#[test]
fn nothing_is_built_on_a_sync_that_failed() {
    for (part, end) in [End::FailedSync, End::FailedSyncAndKill].into_iter().enumerate() {
        let seed = seed() + part as u64;
        let disk = Disk::new();
        judge(&recorded(&disk, || load::record(&disk, &[end, End::Stop], &mut Random::new(seed))), seed);
    }
}

#[test]
fn a_new_database_is_there_whole_or_not_at_all() {
    let seed = seed();
    let disk = Disk::new();
    let holding = ("first".to_owned(), faults::TYPE.to_owned());
    let directory = recorded(&disk, || load::record_creation(&disk, &faults::seed(), holding));
    judge_as(&directory, seed, &|recording, image| {
        // As the same command does again, which has --create.
        if recording.expected(image.crash).0.is_empty() {
            store::create(&image.database.into()).map_err(|e| e.to_string())?;
        }
        holds(recording, image)
    });
}

#[test]
fn a_migration_leaves_the_old_version_or_the_new_one() {
    let seed = seed();
    let disk = Disk::new();
    let before = BTreeSet::from([("first".to_owned(), faults::TYPE.to_owned())]);
    let directory = recorded(&disk, || {
        faults::version_1(&disk.database());
        keep_before(&disk);
        load::record_start(&disk);
    });
    let seen = Mutex::new(BTreeSet::new());
    judge_as(&directory, seed, &|_, image| {
        let version = version(image.database).map_err(|e| e.to_string())?;
        seen.lock().expect("versions").insert(version);
        if ![1, SCHEMA_VERSION].contains(&version) {
            return Err(format!("version {version} is neither the old one nor the new one"));
        }
        // As the service does when it starts.
        store::migrate(&image.database.into()).map_err(|e| e.to_string())?;
        recover(image.database)?;
        let held = holdings(image.database).map_err(|e| e.to_string())?;
        if held == before { Ok(()) } else { Err(format!("{held:?} after the migration")) }
    });
    assert_eq!(seen.into_inner().expect("versions"), [1, SCHEMA_VERSION].into(), "both were met");
}

/// Where a recording is: the one to look at again, or a new one.
fn recorded(disk: &Disk, record: impl FnOnce()) -> PathBuf {
    match std::env::var_os("SEATKEEPER_POWER_RECORDING") {
        Some(directory) => directory.into(),
        None => {
            record();
            disk.beside("")
        }
    }
}

/// Makes images of a recording, and fails if one of them does not hold what was acknowledged.
fn judge(directory: &Path, seed: u64) -> Recording {
    judge_as(directory, seed, &holds)
}

/// How an image of a recording is judged.
type Judge<'j> = &'j (dyn Fn(&Recording, &Image<'_>) -> Result<(), String> + Sync);

fn judge_as(directory: &Path, seed: u64, judge: Judge<'_>) -> Recording {
    let recording = Recording::load(directory);
    println!("{}", recording.summary());
    let numbers = match number_from("SEATKEEPER_POWER_IMAGE") {
        Some(number) => number..number + 1,
        None => 0..images(),
    };
    let found = examine(&recording, seed, numbers, false, judge);
    if !found.is_empty() {
        let kept = keep(directory, seed);
        panic!(
            "{} images are wrong, the first of them: {:#?}\nTo look at one again:\n  SEATKEEPER_POWER_RECORDING={} \
             SEATKEEPER_POWER_IMAGE=NUMBER SEATKEEPER_SEED={seed} cargo test --test it {} -- --nocapture",
            found.len(),
            found.iter().take(5).collect::<BTreeMap<_, _>>(),
            kept.display(),
            std::thread::current().name().unwrap_or("power::")
        );
    }
    recording
}

/// One image, written down.
struct Image<'d> {
    crash: usize,
    database: &'d Path,
}

/// Makes images of these numbers and gives what is wrong, by number.
fn examine(
    recording: &Recording,
    seed: u64,
    numbers: std::ops::Range<u64>,
    ignores_syncs: bool,
    judge: Judge<'_>,
) -> BTreeMap<u64, String> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (numbers, found) = (numbers.clone(), &found);
            scope.spawn(move || {
                // In the order of the moments, so that one walk through the trace is enough.
                let mut moments: Vec<(usize, u64, Random)> = numbers
                    .filter(|number| number % threads == thread)
                    .map(|number| {
                        let mut random = random_of(seed, number);
                        (moment(&recording.events, &mut random), number, random)
                    })
                    .collect();
                moments.sort_by_key(|(moment, ..)| *moment);
                let mut disk = images::Disk::new(recording.directory_inode, &recording.before, ignores_syncs);
                let mut next = 0;
                for (crash, number, mut random) in moments {
                    while next <= crash {
                        disk.advance(next, &recording.events[next]);
                        next += 1;
                    }
                    let (loss, files) = disk.image(&mut random);
                    if let Err(reason) = examine_one(recording, crash, loss, &files, &mut random, judge) {
                        found.lock().expect("no thread panics with it").insert(number, reason);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panics with it")
}

/// The choices of one image depend on nothing but these two.
fn random_of(seed: u64, number: u64) -> Random {
    let mixed = (seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    Random::new(mixed ^ (mixed >> 31))
}

/// When the power goes out: anywhere, or where a fault would show best: as an answer goes out, or as a sync begins.
fn moment(events: &[Event], random: &mut Random) -> usize {
    let anywhere = random.below(events.len() as u64) as usize;
    let wanted: fn(&Event) -> bool = match random.below(4) {
        0 => |event| matches!(event, Event::Sent { .. } | Event::Exit { .. }),
        1 => |event| matches!(event, Event::SyncBegin { .. }),
        _ => |_| true,
    };
    (anywhere..events.len()).find(|number| wanted(&events[*number])).unwrap_or(anywhere)
}

fn examine_one(
    recording: &Recording,
    crash: usize,
    loss: Loss,
    files: &[ImageFile],
    random: &mut Random,
    judge: Judge<'_>,
) -> Result<(), String> {
    let directory = TempDir::in_memory();
    let database = directory.join("seats.db");
    for (name, content) in files {
        std::fs::write(directory.join(name), content).expect("written");
    }
    // Shared memory means nothing after a crash, whatever is left of it.
    if random.below(4) == 0 {
        let rubbish: Vec<u8> = (0..32 * 1024).map(|_| random.next() as u8).collect();
        std::fs::write(directory.join("seats.db-shm"), rubbish).expect("written");
    }
    let image = Image { crash, database: &database };
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(recording, &image)));
    let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
    judged.map_err(|reason| {
        let files: Vec<String> =
            files.iter().map(|(name, content)| format!("{name}: {} bytes", content.len())).collect();
        format!("power cut at event {crash}, lost {loss:?} ({}): {reason}", files.join(", "))
    })
}

/// Opens an image as the service does when its file is there and up to date, and holds it to every invariant.
fn recover(database: &Path) -> Result<(), String> {
    // As a start does.
    store::migrate(&database.into()).map_err(|e| e.to_string())?;
    let store = store::open(&database.into(), &store::Options::default(), Arc::new(Metrics::new()))
        .map_err(|e| e.to_string())?;
    store.close();
    let violations = store::check(&database.into(), seatkeeper::auth::check_hash).map_err(|e| e.to_string())?;
    match violations.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} violations: {}: {}", violations.len(), first.invariant, first.row)),
    }
}

/// Whether an image holds what was acknowledged, and nothing that was not asked for.
fn holds(recording: &Recording, image: &Image<'_>) -> Result<(), String> {
    recover(image.database)?;
    let held = holdings(image.database).map_err(|e| e.to_string())?;
    let held: BTreeSet<&Holding> = held.iter().collect();
    let (mut expected, either) = recording.expected(image.crash);
    for changes in either {
        // A call that was under way: all of it or nothing.
        if changes.iter().all(|(holding, is_held)| held.contains(holding) == *is_held) {
            changes.iter().for_each(|change| apply(change, &mut expected));
        }
    }
    let lost: Vec<_> = expected.difference(&held).take(5).collect();
    let unasked: Vec<_> = held.difference(&expected).take(5).collect();
    match lost.is_empty() && unasked.is_empty() {
        true => Ok(()),
        false => Err(format!("acknowledged and not there: {lost:?}; there and not acknowledged: {unasked:?}")),
    }
}

fn holdings(database: &Path) -> rusqlite::Result<BTreeSet<Holding>> {
    let connection = Connection::open(database)?;
    let query = "SELECT username, license_type FROM seat JOIN account ON account.id = seat.account_id";
    let mut statement = connection.prepare(query)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The version of the schema, from a copy: to open a file changes it.
fn version(database: &Path) -> rusqlite::Result<i32> {
    let copy = TempDir::in_memory();
    for name in ["seats.db", "seats.db-wal", "seats.db-journal"] {
        let _ = std::fs::copy(database.with_file_name(name), copy.join(name));
    }
    let connection = Connection::open(copy.join("seats.db"))?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Keeps a recording for another look, and says where.
fn keep(directory: &Path, seed: u64) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-{seed}"));
    if kept != directory {
        std::fs::create_dir_all(kept.join("before")).expect("a directory");
        for name in ["before.inodes", "calls", "trace"] {
            let _ = std::fs::copy(directory.join(name), kept.join(name));
        }
        for entry in std::fs::read_dir(directory.join("before")).expect("files") {
            let entry = entry.expect("a file");
            std::fs::copy(entry.path(), kept.join("before").join(entry.file_name())).expect("a copy");
        }
    }
    kept
}
