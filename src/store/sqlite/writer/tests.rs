use std::task::{Context, Poll, Waker};

use super::*;

fn writer(options: &Options) -> Writer {
    let connection = Connection::open_in_memory().expect("open");
    connection.execute_batch("CREATE TABLE t (x INTEGER UNIQUE)").expect("table");
    Writer::start(connection, Arc::default(), options, Arc::new(Metrics::new()), Arc::new(Guard::of_memory()))
        .expect("start")
}

fn insert(x: i64) -> impl Fn(&Connection) -> Result<usize, StoreError> + Send + 'static {
    move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x]).map_err(store_error)
}

fn values(writer: &Writer) -> Vec<i64> {
    let connection = writer.connection.lock().expect("lock");
    let mut statement = connection.as_ref().expect("open").prepare("SELECT x FROM t ORDER BY x").expect("prepare");
    statement.query_map([], |row| row.get(0)).expect("query").collect::<Result<_, _>>().expect("rows")
}

fn poll<T>(call: &mut Reply<'_, T>) -> Poll<Result<T, StoreError>> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Puts the calls into the queue, while the connection is held by the test.
fn queue<T>(calls: &mut [Reply<'_, T>]) {
    for call in calls {
        assert!(poll(call).is_pending(), "the call waits");
    }
}

#[tokio::test]
async fn a_call_that_fails_is_undone_alone_and_the_rest_of_its_group_is_kept() {
    let writer = writer(&Options::default());
    let held = writer.connection.lock().expect("lock");
    let twice = |connection: &Connection| {
        connection.execute("INSERT INTO t VALUES (50)", []).map_err(store_error)?;
        connection.execute("INSERT INTO t VALUES (1)", []).map_err(store_error)
    };
    let mut calls = vec![writer.run(insert(1)), writer.run(twice), writer.run(insert(2))];
    queue(&mut calls);
    drop(held);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await);
    }
    assert!(matches!(answers[..], [Ok(1), Err(StoreError::Failed(_)), Ok(1)]), "{answers:?}");
    assert_eq!(values(&writer), [1, 2]);
    writer.close();
}

#[tokio::test]
async fn a_call_that_panics_is_undone_and_the_writer_goes_on() {
    let writer = writer(&Options::default());
    let panics = |x: i64| {
        move |connection: &Connection| -> Result<usize, StoreError> {
            connection.execute("INSERT INTO t VALUES (?1)", [x]).map_err(store_error)?;
            panic!("as the test wants it")
        }
    };
    // Alone on the caller's thread, then in a group on the writer's.
    let answer = writer.run(panics(10)).await;
    assert!(matches!(answer, Err(StoreError::Failed(_))), "{answer:?}");
    let held = writer.connection.lock().expect("not poisoned");
    let mut calls: Vec<Reply<'_, usize>> = vec![writer.run(insert(1)), writer.run(panics(11)), writer.run(insert(2))];
    queue(&mut calls);
    drop(held);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await);
    }
    assert!(matches!(answers[..], [Ok(1), Err(StoreError::Failed(_)), Ok(1)]), "{answers:?}");
    assert!(matches!(writer.run(insert(3)).await, Ok(1)));
    assert_eq!(values(&writer), [1, 2, 3]);
    writer.close();
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_refused_and_the_rest_is_served() {
    let writer = writer(&Options { queue_calls_max: 2, group_calls_max: 1, ..Options::default() });
    let held = writer.connection.lock().expect("lock");
    let mut calls = vec![writer.run(insert(1))];
    queue(&mut calls);
    // The thread has taken the first call from the queue or is about to; fill the queue until a call is refused.
    let mut refused = 0;
    for x in 2..=4 {
        let mut call = writer.run(insert(x));
        match poll(&mut call) {
            Poll::Ready(answer) => {
                assert!(matches!(answer, Err(StoreError::QueueFull)), "{answer:?}");
                refused += 1;
            }
            Poll::Pending => calls.push(call),
        }
    }
    assert!(refused >= 1);
    drop(held);
    for call in calls {
        assert!(matches!(call.await, Ok(1)));
    }
    assert_eq!(values(&writer).len(), 4 - refused);
    writer.close();
}

#[tokio::test]
async fn a_call_whose_caller_went_away_before_its_turn_is_not_run() {
    let writer = writer(&Options { group_calls_max: 1, ..Options::default() });
    let held = writer.connection.lock().expect("lock");
    let mut calls = vec![writer.run(insert(1)), writer.run(insert(2)), writer.run(insert(3))];
    queue(&mut calls);
    // The last call: the thread may have taken the first already.
    drop(calls.pop());
    drop(held);
    for call in calls {
        call.await.expect("served");
    }
    let connection = writer.connection.lock().expect("lock");
    drop(connection);
    assert_eq!(values(&writer), [1, 2]);
    writer.close();
}

#[tokio::test]
async fn closing_answers_what_was_queued() {
    let writer = writer(&Options::default());
    let held = writer.connection.lock().expect("lock");
    let (reply, answer) = oneshot::channel();
    let job = Pending { work: insert(7), value: None, reply, since: Instant::now(), trail: None };
    writer.enqueue(Box::new(job)).expect("queued");
    drop(held);
    writer.close();
    assert!(matches!(answer.await, Ok(Ok(1))));
}
