//! An answer that is written while its rows come in: only a few pages of it are ever in memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use hyper::body::{Body, Frame};

use crate::contract::Streamed;
use crate::contract::edition::Edition;
use crate::contract::message::{Nulls, Record};
use crate::soap::xml::Writer;

pub(super) struct StreamedBody {
    writer: Writer,
    streamed: Streamed,
    stage: Stage,
}

enum Stage {
    /// Nothing has been sent; the head of the message is in the writer.
    Head,
    Rows,
    Rest,
    Done,
}

impl StreamedBody {
    /// `writer` stands inside the element that the answer's fields go into.
    pub(super) fn new(mut writer: Writer, mut streamed: Streamed) -> StreamedBody {
        writer.open(streamed.array);
        for holder in std::mem::take(&mut streamed.first) {
            (streamed.to_record)(holder).write_item(&mut writer, Edition::First, Nulls::LeftOut);
        }
        StreamedBody { writer, streamed, stage: Stage::Head }
    }

    fn frame(text: String) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
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
                Stage::Rows => match ready!(this.streamed.pages.poll_recv(cx)) {
                    Some(page) => {
                        for holder in page {
                            (this.streamed.to_record)(holder).write_item(
                                &mut this.writer,
                                Edition::First,
                                Nulls::LeftOut,
                            );
                        }
                        return Self::frame(this.writer.take());
                    }
                    None => this.stage = Stage::Rest,
                },
                Stage::Rest => {
                    let rest = ready!(Pin::new(&mut this.streamed.rest).poll(cx));
                    this.stage = Stage::Done;
                    this.writer.close();
                    // Without a Result at its end the client sees that the list is not whole.
                    let Ok(rest): Result<Record, _> = rest else { return Poll::Ready(None) };
                    rest.write(&mut this.writer, Edition::First, Nulls::LeftOut);
                    let writer = std::mem::replace(&mut this.writer, Writer::compact());
                    return Self::frame(writer.finish());
                }
                Stage::Done => return Poll::Ready(None),
            }
        }
    }
}
