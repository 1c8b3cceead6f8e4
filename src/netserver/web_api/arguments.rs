//! The arguments of a call, from the path, the query and the body of a request.

use axum::body::{Body, HttpBody as _};
use axum::http::header;

use super::read::{self, Syntax};
use super::request::WebRequest;
use super::{FORM_TYPE, MEDIA_TYPES, Method, Route, Segment, TEXT_TYPE, parameter};
use crate::contract::Kind;
use crate::contract::record::Record;
use crate::http::body::{COMPRESSED, ContentType, Unread, is_compressed, read_body};
use crate::netserver::Operation;
use crate::soap::{encoding, excerpt};

/// Why the arguments of a request are invalid. `Display` is for the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    Malformed(String),
    #[error("Content-Type '{sent}' is not accepted here. {}", advice(*.seems, *.plain_text))]
    MediaType { sent: String, seems: Option<Syntax>, plain_text: bool },
    #[error("{COMPRESSED}")]
    Compressed,
    #[error("{0}")]
    Unread(Unread),
}

/// Which Content-Type to send instead.
fn advice(seems: Option<Syntax>, plain_text: bool) -> String {
    match seems {
        Some(syntax) => {
            let (name, media_type) = syntax.names();
            format!("The body looks like {name}: send Content-Type: {media_type}.")
        }
        None => {
            let text = if plain_text { format!(", {TEXT_TYPE}") } else { String::new() };
            format!(
                "Send Content-Type: {}, {}{text} or {FORM_TYPE}, whichever the body is.",
                MEDIA_TYPES[0], MEDIA_TYPES[2]
            )
        }
    }
}

impl WebRequest {
    /// The arguments of an agent call: members of the object in its body, or parameters of the query.
    pub(super) async fn object(
        &self,
        operation: &'static Operation,
        body: &mut Option<Body>,
    ) -> Result<Record, Unreadable> {
        let (text, syntax) = self.text(body, false).await?;
        let in_body =
            read::object(&text, syntax, operation.input, &self.limits().xml).map_err(Unreadable::Malformed)?;
        let query = self.parts().uri.query().unwrap_or_default();
        let in_query = read::pairs(query, operation.input).map_err(Unreadable::Malformed)?;
        match in_body.differs_from(&in_query) {
            None => Ok(in_body.completed_by(in_query)),
            Some(name) => {
                let text = format!("{name} is in the body and in the query, with different values. Send it once.");
                Err(Unreadable::Malformed(text))
            }
        }
    }

    /// The arguments of a call of the resource, as its route defines.
    pub(super) async fn arguments(&self, route: &'static Route, body: &mut Option<Body>) -> Result<Record, Unreadable> {
        let mut arguments = Record::new(route.operation().input);
        for (segment, typed) in route.path.iter().zip(&self.segments[2..]) {
            if let Segment::Argument(name) = segment {
                let value = read::from_text(typed, route.kind(name), name).map_err(Unreadable::Malformed)?;
                arguments = arguments.with_some(name, value);
            }
        }
        for name in route.query {
            if let Some(text) = self.query(&parameter(name)) {
                arguments = arguments
                    .with_some(name, read::from_text(&text, route.kind(name), name).map_err(Unreadable::Malformed)?);
            }
        }
        if let Some(name) = route.body {
            let (text, syntax) = self.text(body, matches!(route.kind(name), Kind::String)).await?;
            let value = read::value(&text, syntax, route.argument(name), &self.limits().xml);
            arguments = arguments.with_some(name, value.map_err(Unreadable::Malformed)?);
        } else if route.method == Method::Delete && body.as_ref().is_some_and(|body| !body.is_end_stream()) {
            // The body belongs to another path, which releases less.
            let text = format!(
                "DELETE {} removes the owner and takes no body, but one was sent. To take modules from a user, put the \
                 user's id behind the owner.",
                route.template()
            );
            return Err(Unreadable::Malformed(text));
        }
        Ok(arguments)
    }

    /// The body, if its type and charset are accepted. `plain_text`: whether it may be plain text. An empty body needs no type.
    async fn text(&self, body: &mut Option<Body>, plain_text: bool) -> Result<(String, Syntax), Unreadable> {
        if is_compressed(&self.parts().headers) {
            return Err(Unreadable::Compressed);
        }
        let body = body.take().unwrap_or_default();
        let bytes = read_body(body, &self.parts().headers, self.limits()).await.map_err(Unreadable::Unread)?;
        if bytes.is_empty() {
            return Ok((String::new(), Syntax::Json));
        }
        let typed = match self.parts().headers.contains_key(header::CONTENT_TYPE) {
            true => ContentType::of(&self.parts().headers).unwrap_or_default(),
            // Without a Content-Type, assume JSON: most clients send it.
            false => ContentType { media_type: MEDIA_TYPES[0].to_owned(), ..ContentType::default() },
        };
        let syntax = Syntax::of_media_type(&typed.media_type).filter(|syntax| plain_text || *syntax != Syntax::Text);
        let decoded = encoding::decode(&bytes, typed.charset.as_deref());
        let Some(syntax) = syntax else {
            let seems = Syntax::of_text(&decoded);
            return Err(Unreadable::MediaType { sent: excerpt(&typed.media_type).into_owned(), seems, plain_text });
        };
        Ok((decoded.into_owned(), syntax))
    }
}
