//! A response that is written while its rows arrive: only a few pages of it are in memory at a time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::operations::{HOLDERS, Holders, Operation, holder, with_result};
use crate::contract::End;
use crate::contract::edition::Edition;
use crate::contract::record::{Nulls, Record};
use crate::soap::xml::Writer;
use crate::store::Holder;

pub(super) struct StreamedBody {
    writer: Writer,
    operation: &'static Operation,
    pages: mpsc::Receiver<Vec<Holder>>,
    /// The refusal that the answer ends with, if it is one.
    end: End,
    id: Uuid,
    stage: Stage,
}

enum Stage {
    /// Nothing was sent; the head of the message is in the writer.
    Head,
    Rows,
    Rest,
    Done,
}

impl StreamedBody {
    /// `writer` is inside the element for the fields of the operation's answer. `id`: of the call.
    pub(super) fn new(
        mut writer: Writer,
        operation: &'static Operation,
        holders: Holders,
        end: End,
        id: Uuid,
    ) -> StreamedBody {
        writer.open(HOLDERS);
        write_rows(&mut writer, holders.first);
        StreamedBody { writer, operation, pages: holders.pages, end, id, stage: Stage::Head }
    }

    fn frame(text: String) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
    }
}

fn write_rows(writer: &mut Writer, holders: Vec<Holder>) {
    for row in holders {
        holder(row).write_item(writer, Edition::First, Nulls::LeftOut);
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            match this.stage {
                Stage::Head => {
                    this.stage = Stage::Rows;
                    return Self::frame(this.writer.take());
                }
                Stage::Rows => match ready!(this.pages.poll_recv(cx)) {
                    Some(page) => {
                        write_rows(&mut this.writer, page);
                        return Self::frame(this.writer.take());
                    }
                    None => this.stage = Stage::Rest,
                },
                Stage::Rest => {
                    let end = ready!(Pin::new(&mut this.end).poll(cx));
                    this.stage = Stage::Done;
                    this.writer.close();
                    // A missing Result at the end tells the client that the list is incomplete.
                    let Ok(refused) = end else { return Poll::Ready(None) };
                    let rest = with_result(Record::new(this.operation.output), refused.as_ref(), this.id);
                    rest.write(&mut this.writer, Edition::First, Nulls::LeftOut);
                    let writer = std::mem::replace(&mut this.writer, Writer::compact());
                    return Self::frame(writer.finish());
                }
                Stage::Done => return Poll::Ready(None),
            }
        }
    }
}
