//! A filtered list as a file: CSV (RFC 4180, UTF-8) or JSON, streamed page by page.
//!
//! In CSV a text that a spreadsheet would run as a formula is defused: [`cells`]. JSON is for programs and has the text as it is.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::store::admin::bulk::cells;
use crate::store::admin::file::Cell;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

/// Writes rows in one form.
pub(super) struct Writer {
    format: Format,
    /// Names of the columns: those of the tables, whatever the language of the page.
    columns: Vec<&'static str>,
    rows: u64,
}

impl Writer {
    pub(super) fn new(format: Format, columns: Vec<&'static str>) -> Writer {
        Writer { format, columns, rows: 0 }
    }

    pub(super) fn head(&self) -> String {
        match self.format {
            Format::Csv => csv_line(self.columns.iter().map(|name| Cell::from(*name))),
            Format::Json => "[".to_owned(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>, out: &mut String) {
        match self.format {
            Format::Csv => out.push_str(&csv_line(cells)),
            Format::Json => {
                let object: Map<String, Value> =
                    self.columns.iter().map(|c| (*c).to_owned()).zip(cells.into_iter().map(json)).collect();
                out.push_str(if self.rows == 0 { "\n" } else { ",\n" });
                out.push_str(&Value::Object(object).to_string());
            }
        }
        self.rows += 1;
    }

    pub(super) fn end(&self) -> &'static str {
        match self.format {
            Format::Csv => "",
            Format::Json => "\n]\n",
        }
    }
}

fn json(cell: Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Number(number) => number.into(),
        Cell::Flag(flag) => flag.into(),
        Cell::Text(text) => text.into(),
    }
}

fn csv_line(cells: impl IntoIterator<Item = Cell>) -> String {
    let cells: Vec<String> = cells.into_iter().map(csv_cell).collect();
    cells.join(",") + "\r\n"
}

fn csv_cell(cell: Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => i64::from(flag).to_string(),
        Cell::Text(text) => cells::cell(&text),
    }
}

/// The response that hands over what is sent through the channel. If the sender is dropped before [`Part::End`], the connection is cut
/// off, so that the client sees that the file is not whole.
pub(super) fn streamed(format: Format, file_name: &str, parts: mpsc::Receiver<Part>) -> Response {
    let content_type = match format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Json => "application/json",
    };
    let extension = match format {
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let body = Body::new(StreamedFile { parts, ended: false }.map_err(|never: CutOff| never));
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    let disposition = format!("attachment; filename=\"{file_name}.{extension}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Of a file that is being written.
pub(super) enum Part {
    Text(String),
    End,
}

struct StreamedFile {
    parts: mpsc::Receiver<Part>,
    ended: bool,
}

/// The list could not be read to its end.
#[derive(Debug)]
pub(super) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the list could not be read to its end")
    }
}

impl std::error::Error for CutOff {}

impl From<Infallible> for CutOff {
    fn from(never: Infallible) -> CutOff {
        match never {}
    }
}

impl HttpBody for StreamedFile {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.parts.poll_recv(cx).map(|part| match part {
            Some(Part::Text(text)) => Some(Ok(Frame::data(Bytes::from(text)))),
            Some(Part::End) => {
                self.ended = true;
                None
            }
            None => Some(Err(CutOff)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, rows: Vec<Vec<Cell>>) -> String {
        let mut writer = Writer::new(format, vec!["id", "name"]);
        let mut out = writer.head();
        rows.into_iter().for_each(|row| writer.row(row, &mut out));
        out + writer.end()
    }

    #[test]
    fn files_are_whole() {
        let rows = || vec![vec![Cell::Number(1), "=a".into()], vec![Cell::Number(2), Cell::Empty]];
        assert_eq!(written(Format::Csv, rows()), "id,name\r\n1,'=a\r\n2,\r\n");
        assert_eq!(written(Format::Json, rows()), "[\n{\"id\":1,\"name\":\"=a\"},\n{\"id\":2,\"name\":null}\n]\n");
        assert_eq!(written(Format::Json, vec![]), "[\n]\n");
        assert_eq!(written(Format::Csv, vec![]), "id,name\r\n");
    }
}
