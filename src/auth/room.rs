//! The room in which password checks wait for their turn: [`Queue`] for async tasks.

use std::sync::{Arc, Mutex};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::lock;
use super::queue::{Entered, Line, Place, Queue};
use crate::metrics::Metrics;

/// See the module.
pub struct Room {
    queue: Mutex<Queue<oneshot::Sender<Turn>>>,
    waiting_known: Gauge,
    waiting_other: Gauge,
}

impl Room {
    pub fn new(running_max: usize, places_max: usize, metrics: &Metrics) -> Room {
        Room {
            queue: Mutex::new(Queue::new(running_max, places_max)),
            waiting_known: metrics.sign_ins_waiting("known"),
            waiting_other: metrics.sign_ins_waiting("other"),
        }
    }

    /// Waits for a turn. `None`: no place is free, or another check displaced this one. Dropping the future gives up the place.
    pub async fn turn(self: &Arc<Self>, line: Line) -> Option<Turn> {
        let (start, started) = oneshot::channel();
        let entered = self.change(|queue| queue.enter(line, start));
        match entered {
            Entered::Started(_) => Some(Turn(Some(Arc::clone(self)))),
            Entered::Refused(_) => None,
            Entered::Waits { place, displaced } => {
                // Its receiver then returns `None`.
                drop(displaced);
                let _waiting = Waiting { room: self, place };
                started.await.ok()
            }
        }
    }

    /// Changes the number of places. Checks that wait already keep theirs.
    pub fn set_places(&self, places_max: usize) {
        lock(&self.queue).set_places(places_max);
    }

    #[cfg(test)]
    pub fn running(&self) -> usize {
        lock(&self.queue).running()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Queue<oneshot::Sender<Turn>>) -> R) -> R {
        let mut queue = lock(&self.queue);
        let result = change(&mut queue);
        self.waiting_known.set(queue.waiting_known().try_into().unwrap_or(i64::MAX));
        self.waiting_other.set(queue.waiting_other().try_into().unwrap_or(i64::MAX));
        result
    }
}

/// A place in the queue, given up on drop, which has no effect on a started check.
struct Waiting<'a> {
    room: &'a Room,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.room.change(|queue| queue.leave(self.place));
    }
}

/// The right to run one check. The next one starts when this is dropped.
pub struct Turn(Option<Arc<Room>>);

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut room) = self.0.take() else { return };
        while let Some(next) = room.change(Queue::finish) {
            // If the caller disconnects at this moment, the turn is returned.
            match next.send(Turn(Some(room))) {
                Ok(()) => return,
                Err(mut turn) => match turn.0.take() {
                    Some(back) => room = back,
                    None => return,
                },
            }
        }
    }
}
