//! The bare limit of the store: the transactions of AssignLicense, with no HTTP, no XML and no sign-in around them.
//!
//! `store-limit --database FILE --concurrency N --seconds S --entities E` takes seats of SqlBackup for new users under the
//! entities from 1000 on, in turn, as `bench/run` makes them, acting as the credential of the file, N calls at a time, and prints one line of JSON.
//! `--calls C` ends after so many calls instead, which is what a count of instructions needs.
//!
//! `store-limit --disk DIRECTORY --pages P --seconds S` measures the disk alone: how often a second P pages can be written and
//! synced, as a WAL is written whose file has its size already. No database on this disk commits more often.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::metrics::Metrics;
use seatkeeper::seats::{AssignRequest, LicenseType};
use seatkeeper::store::{self, Actor, Call, Credential, Options, Store};
use uuid::Uuid;

const USER_NAME: &str = "bench";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    let seconds: u64 = option("--seconds").map_or(Ok(5), |n| n.parse())?;
    if let Some(directory) = option("--disk") {
        let pages: u64 = option("--pages").map_or(Ok(1), |n| n.parse())?;
        println!("{:.0}", syncs_per_second(Path::new(directory), pages, Duration::from_secs(seconds))?);
        return Ok(());
    }
    let database = PathBuf::from(option("--database").ok_or("--database FILE is missing")?);
    let concurrency: usize = option("--concurrency").map_or(Ok(1), |n| n.parse())?;
    let entities: u64 = option("--entities").map_or(Ok(1), |n| n.parse())?;
    let calls: u64 = option("--calls").map_or(Ok(u64::MAX), |n| n.parse())?;

    let store = store::open(&database.into(), &Options::default(), Arc::new(Metrics::new()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begun = Instant::now();
    let mut latencies = runtime.block_on(async {
        let credential = store.credential(USER_NAME).await?.ok_or("the database has no credential 'bench'")?;
        let until = begun + Duration::from_secs(seconds);
        let next = Arc::new(AtomicU64::new(0));
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                tokio::spawn(take_seats(
                    Arc::clone(&store),
                    credential.clone(),
                    Arc::clone(&next),
                    until,
                    calls,
                    entities,
                ))
            })
            .collect();
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await?);
        }
        Ok::<_, Box<dyn std::error::Error>>(latencies)
    })?;
    let elapsed = begun.elapsed().as_secs_f64();
    store.close();
    latencies.sort_unstable();
    let percentile = |p: usize| latencies.get((latencies.len() * p / 100).min(latencies.len().saturating_sub(1)));
    println!(
        "{{\"per_second\":{:.0},\"p50_us\":{},\"p99_us\":{}}}",
        latencies.len() as f64 / elapsed,
        percentile(50).ok_or("no call was answered")?,
        percentile(99).ok_or("no call was answered")?,
    );
    Ok(())
}

/// Writes so many pages and syncs them, again and again over a file of 64 MiB; how often that is done in a second.
fn syncs_per_second(directory: &Path, pages: u64, duration: Duration) -> std::io::Result<f64> {
    const PAGE: [u8; 4096] = [0x5a; 4096];
    const FILE_PAGES: u64 = 16_384;
    let path = directory.join("store-limit.tmp");
    let mut file = std::fs::File::create(&path)?;
    for _ in 0..FILE_PAGES {
        file.write_all(&PAGE)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let (begun, mut syncs, mut at) = (Instant::now(), 0_u32, 0);
    while begun.elapsed() < duration {
        if at + pages > FILE_PAGES {
            file.seek(SeekFrom::Start(0))?;
            at = 0;
        }
        for _ in 0..pages {
            file.write_all(&PAGE)?;
        }
        file.sync_data()?;
        at += pages;
        syncs += 1;
    }
    let rate = f64::from(syncs) / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Takes seats one after the other; the microseconds each took.
async fn take_seats(
    store: Arc<dyn Store>,
    credential: Credential,
    next: Arc<AtomicU64>,
    until: Instant,
    calls: u64,
    entities: u64,
) -> Vec<u64> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= calls {
            break;
        }
        let call = Call {
            id: Uuid::new_v4(),
            now: jiff::Timestamp::now(),
            actor: Actor::Credential(credential.clone()),
            name: None,
            trail: None,
        };
        let request = AssignRequest {
            username: Some(format!("limit-{number:012}").into()),
            provider_entity_id: Some(1000 + i32::try_from(number * 7919 % entities).unwrap_or(0)),
            license_type: Some(LicenseType::SqlBackup),
        };
        let begun = Instant::now();
        store.assign(call, request).await.expect("the store works").expect("a seat is free");
        latencies.push(begun.elapsed().as_micros() as u64);
    }
    latencies
}
