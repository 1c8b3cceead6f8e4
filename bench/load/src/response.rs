//! The small part of HTTP and SOAP that this program needs to sort responses.

/// A complete response.
#[derive(Debug, PartialEq)]
pub struct Answer<'a> {
    pub status: u16,
    /// The text of the element `Code`; none in a SOAP fault.
    pub code: Option<&'a str>,
    /// The server will not take another request on this connection.
    pub closes: bool,
}

/// The response in `bytes`; `None`: it is not complete yet. A response without Content-Length is an error: reading it needs more
/// of HTTP than this program knows, and the servers compared here send the header.
///
/// `expect`: a response with this text has the code Success, others have no code.
pub fn parse<'a>(bytes: &'a [u8], expect: Option<&str>) -> Result<Option<Answer<'a>>, &'static str> {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..head_end]).map_err(|_| "the HTTP head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or("the answer does not begin with an HTTP/1.1 status line")?;
    let (mut length, mut closes) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let length = length.ok_or("the answer has no Content-Length")?;
    let body = &bytes[head_end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    if body.len() > length {
        return Err("more came than one answer");
    }
    let code = match expect {
        None => code(body),
        Some(text) => find(body, text.as_bytes()).map(|_| "Success"),
    };
    Ok(Some(Answer { status, code, closes }))
}

/// Finds `<Code>TEXT</Code>`, also as `<prefix:Code>`: the server chooses the prefix.
fn code(body: &[u8]) -> Option<&str> {
    let rest = &body[find(body, b"Code>")? + 5..];
    str::from_utf8(&rest[..find(rest, b"</")?]).ok()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn takes_an_answer_when_all_of_it_is_there() {
        let whole = http("200 OK", "<Result>0</Result><Code>Success</Code>");
        assert_eq!(parse(&whole[..20], None), Ok(None));
        assert_eq!(parse(&whole[..whole.len() - 1], None), Ok(None));
        assert_eq!(parse(&whole, None), Ok(Some(Answer { status: 200, code: Some("Success"), closes: false })));
    }

    #[test]
    fn takes_any_prefix_a_fault_and_a_close() {
        let prefixed = http("200 OK", "<ns:Code>AlreadyExists</ns:Code>");
        assert_eq!(parse(&prefixed, None).unwrap().unwrap().code, Some("AlreadyExists"));
        let fault = http("500 Internal Server Error\r\nConnection: close", "<fault/>");
        assert_eq!(parse(&fault, None), Ok(Some(Answer { status: 500, code: None, closes: true })));
    }

    #[test]
    fn refuses_what_it_cannot_measure() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None).is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP", None).is_err());
    }
}
