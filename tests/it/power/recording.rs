//! A recording of a service under load: the files before, the trace, and which calls the clients made. It is a directory, so
//! that a failure can be looked at again.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::images::Before;
use super::trace::{self, Event};
use crate::disk::Disk;
use crate::harness::Answer;

/// A user and the license type of a seat.
pub type Holding = (String, String);

/// A seat that a user holds after a call, or does not.
pub type Change = (Holding, bool);

/// One request of an actor and what it changes if it succeeds: who holds a seat after it, and who does not.
#[derive(Debug, Clone)]
pub struct Call {
    /// An actor makes one call after the other.
    pub actor: String,
    pub via: Via,
    pub changes: Vec<Change>,
}

/// Where the trace says that the call succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// The next response of this process to this port: another client may have the same port later.
    Port(u32, u16),
    /// The end of this process.
    Process(u32),
}

impl Call {
    fn line(&self) -> String {
        let Call { actor, via, changes } = self;
        let via = match via {
            Via::Port(process, port) => format!("port {process} {port}"),
            Via::Process(process) => format!("process {process}"),
        };
        let sign = |held: &bool| if *held { '+' } else { '-' };
        let changes: Vec<String> =
            changes.iter().map(|((user, of_type), held)| format!("{}{user}/{of_type}", sign(held))).collect();
        format!("{actor}\t{via}\t{}\n", changes.join(" "))
    }

    fn parse(line: &str) -> Call {
        let fields: Vec<&str> = line.split('\t').collect();
        let (kind, number) = fields[1].split_once(' ').expect("a kind and a number");
        let via = match kind {
            "port" => {
                let (process, port) = number.split_once(' ').expect("a process and a port");
                Via::Port(process.parse().expect("a process"), port.parse().expect("a port"))
            }
            _ => Via::Process(number.parse().expect("a process")),
        };
        let change = |text: &str| {
            let (user, of_type) = text[1..].split_once('/').expect("a user and a type");
            ((user.to_owned(), of_type.to_owned()), text.starts_with('+'))
        };
        Call { actor: fields[0].to_owned(), via, changes: fields[2].split_whitespace().map(change).collect() }
    }
}

/// Keeps the files as they are before the programs to trace are started.
pub fn keep_before(disk: &Disk) {
    use std::os::unix::fs::MetadataExt as _;
    let inode = |path: &Path| path.metadata().expect("it is there").ino();
    let kept = disk.beside("before");
    std::fs::create_dir(&kept).expect("a directory");
    let mut inodes = format!(".\t{}\n", inode(&disk.directory()));
    for entry in std::fs::read_dir(disk.directory()).expect("files") {
        let entry = entry.expect("a file");
        let name = entry.file_name().into_string().expect("UTF-8");
        if !name.ends_with("-shm") {
            inodes += &format!("{name}\t{}\n", inode(&entry.path()));
            std::fs::copy(entry.path(), kept.join(name)).expect("a copy");
        }
    }
    std::fs::write(disk.beside("before.inodes"), inodes).expect("written");
}

pub fn keep_calls(disk: &Disk, calls: &[Call]) {
    std::fs::write(disk.beside("calls"), calls.iter().map(Call::line).collect::<String>()).expect("written");
}

pub struct Recording {
    pub directory_inode: u64,
    pub before: Vec<Before>,
    pub events: Vec<Event>,
    /// Of each actor its calls in order.
    pub actors: Vec<Vec<Told>>,
}

/// A call, and what its caller was told.
pub struct Told {
    pub changes: Vec<Change>,
    pub answer: Option<Answered>,
}

/// An answer.
pub struct Answered {
    /// The number of the event with its first byte.
    pub event: usize,
    /// For each change whether it was acknowledged; else it was refused.
    pub acknowledged: Vec<bool>,
    /// The answer leaves it open.
    pub is_unknown: bool,
}

impl Recording {
    pub fn load(directory: &Path) -> Recording {
        let inodes = std::fs::read_to_string(directory.join("before.inodes")).expect("inodes");
        let mut directory_inode = 0;
        let mut before = Vec::new();
        for line in inodes.lines() {
            let (name, inode) = line.split_once('\t').expect("a name and an inode");
            let inode = inode.parse().expect("an inode");
            match name {
                "." => directory_inode = inode,
                _ => before.push((
                    name.to_owned(),
                    inode,
                    std::fs::read(directory.join("before").join(name)).expect(name),
                )),
            }
        }
        let events = trace::read(&directory.join("trace"));
        let calls = std::fs::read_to_string(directory.join("calls")).unwrap_or_default();
        let actors = told(&events, calls.lines().map(Call::parse));
        Recording { directory_inode, before, events, actors }
    }

    /// A line for people: how much there is of what.
    pub fn summary(&self) -> String {
        let answered = self.actors.iter().flatten().filter_map(|told| told.answer.as_ref());
        let acknowledged = self.acknowledged();
        let refused =
            answered.filter(|answer| !answer.acknowledged.is_empty() && !answer.acknowledged.contains(&true)).count();
        let main = self.before.iter().find(|(name, ..)| name == "seats.db").map(|(_, inode, _)| *inode);
        let count = |wanted: &dyn Fn(&Event) -> bool| self.events.iter().filter(|event| wanted(event)).count();
        format!(
            "{acknowledged} calls acknowledged, {refused} refused; {} writes, {} syncs, {} of them of the main file; {} events",
            count(&|event| matches!(event, Event::Write { .. })),
            count(&|event| matches!(event, Event::SyncEnd { .. })),
            count(&|event| matches!(event, Event::SyncEnd { inode, .. } if Some(*inode) == main)),
            self.events.len()
        )
    }

    pub fn acknowledged(&self) -> usize {
        let answered = self.actors.iter().flatten().filter_map(|told| told.answer.as_ref());
        answered.filter(|answer| answer.acknowledged.contains(&true)).count()
    }

    /// As it would be if each caller had been told before the last sync began that its answer waited for.
    pub fn answered_too_early(mut self) -> Recording {
        let mut last_begin = 0;
        let begins: Vec<usize> = (0..self.events.len())
            .map(|number| {
                if matches!(self.events[number], Event::SyncBegin { .. }) {
                    last_begin = number;
                }
                last_begin
            })
            .collect();
        for answer in self.actors.iter_mut().flatten().filter_map(|told| told.answer.as_mut()) {
            answer.event = begins[answer.event];
        }
        self
    }

    /// Who must hold a seat after a crash at this event; and the changes that may have been made or not, each as a whole.
    pub fn expected(&self, crash: usize) -> (BTreeSet<&Holding>, Vec<&[Change]>) {
        let (mut held, mut either) = (BTreeSet::new(), Vec::new());
        for calls in &self.actors {
            for told in calls {
                let Some(answer) = told.answer.as_ref().filter(|answer| answer.event <= crash) else {
                    // The next call was not made before this one had its answer.
                    either.push(&told.changes[..]);
                    break;
                };
                if answer.is_unknown {
                    either.push(&told.changes[..]);
                    continue;
                }
                let changes = told.changes.iter().zip(&answer.acknowledged);
                changes.filter(|(_, acknowledged)| **acknowledged).for_each(|(change, _)| apply(change, &mut held));
            }
        }
        (held, either)
    }
}

pub fn apply<'c>((holding, is_held): &'c Change, held: &mut BTreeSet<&'c Holding>) {
    match is_held {
        true => held.insert(holding),
        false => held.remove(holding),
    };
}

/// Gives each call its answer.
fn told(events: &[Event], calls: impl Iterator<Item = Call>) -> Vec<Vec<Told>> {
    let mut answers = answers(events);
    let mut actors: Vec<(String, Vec<Told>)> = Vec::new();
    for Call { actor, via, changes } in calls {
        let answer = answers.get_mut(&via).and_then(Iterator::next).map(|(event, codes, is_unknown)| {
            let acknowledged: Vec<bool> = codes.iter().map(|code| code == "Success").collect();
            // One code for all changes, or, of a call with items, one for each and one for the whole.
            let acknowledged = match acknowledged[..] {
                [one] => vec![one; changes.len()],
                _ => acknowledged[..changes.len()].to_vec(),
            };
            Answered { event, acknowledged, is_unknown }
        });
        let told = Told { changes, answer };
        match actors.iter_mut().find(|(name, _)| *name == actor) {
            Some((_, calls)) => calls.push(told),
            None => actors.push((actor, vec![told])),
        }
    }
    actors.into_iter().map(|(_, calls)| calls).collect()
}

/// The number of the event, the codes of results, and whether the answer leaves it open what was done.
type Answers = (usize, Vec<String>, bool);

/// The answers that went each way, in order.
fn answers(events: &[Event]) -> HashMap<Via, std::vec::IntoIter<Answers>> {
    let mut found: HashMap<Via, Vec<Answers>> = HashMap::new();
    let mut begun: HashMap<Via, (usize, Vec<u8>)> = HashMap::new();
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Sent { process, port, data } => {
                let via = Via::Port(*process, *port);
                let (first, bytes) = begun.entry(via).or_insert((number, Vec::new()));
                bytes.extend_from_slice(data);
                if let Some(answer) = Answer::complete(bytes) {
                    let is_unknown = answer.body.contains("It is unknown whether");
                    found.entry(via).or_default().push((*first, codes(&answer), is_unknown));
                    begun.remove(&via);
                }
            }
            Event::Exit { process, status } => {
                let code = if *status == 0 { "Success" } else { "refused" };
                found.entry(Via::Process(*process)).or_default().push((number, vec![code.to_owned()], false));
            }
            _ => {}
        }
    }
    found.into_iter().map(|(via, answers)| (via, answers.into_iter())).collect()
}

fn codes(answer: &Answer) -> Vec<String> {
    let codes = answer.body.split("<Code>").skip(1).filter_map(|rest| rest.split_once("</Code>"));
    codes.map(|(code, _)| code.to_owned()).collect()
}
