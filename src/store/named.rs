//! Named calls, whose retries get the outcome of the first try: the name, and the form of a stored outcome. Pure; each store has
//! its own table for the rows.
//!
//! Stored outcomes must stay readable after an upgrade, as long as names live: a refusal is stored as its code and sentence, and
//! a test fixes the form of the rest.

use std::fmt;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Added;
use crate::error::ErrorKind;
use crate::license::Owner;
use crate::metrics::SparseLogs;
use crate::seats::{NameFault, Refusal, SeatId};

/// The place of a call's name in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// The HTTP header `Idempotency-Key`.
    IdempotencyKey,
    /// A header block `RequestId`.
    RequestId,
    /// The header block `MessageID` of WS-Addressing.
    MessageId,
}

impl NameSource {
    /// Its name in a request.
    pub const fn header(self) -> &'static str {
        match self {
            NameSource::IdempotencyKey => "Idempotency-Key",
            NameSource::RequestId => "RequestId",
            NameSource::MessageId => "MessageID",
        }
    }

    /// Whether the client's developer chose the name. Toolkits send a MessageID by themselves, and message templates repeat one, which
    /// the original service ignored: such a name must neither cause a refusal nor keep one alive.
    pub const fn is_deliberate(self) -> bool {
        !matches!(self, NameSource::MessageId)
    }
}

/// The name of a call, with its request.
pub struct CallName {
    pub source: NameSource,
    /// The name as it was sent; or why it is invalid.
    pub text: Result<String, NameFault>,
    /// For people.
    pub operation: &'static str,
    /// SHA-256 of the operation and its arguments: a retry has the same.
    pub request_hash: [u8; 32],
    original: OnceLock<Original>,
}

/// The time within which a toolkit sends a message again by itself. Later, the same message is that of a template.
const RESENT_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The first call of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    pub id: Uuid,
    pub now: Timestamp,
}

impl CallName {
    pub fn new(
        source: NameSource,
        text: Result<String, NameFault>,
        operation: &'static str,
        request_hash: [u8; 32],
    ) -> CallName {
        CallName { source, text, operation, request_hash, original: OnceLock::new() }
    }

    /// Logs that the row of this name is no outcome.
    pub(crate) fn cannot_be_read(&self, row: i64) {
        static LOG: SparseLogs = SparseLogs::new();
        if let Some(left_out) = LOG.count("row") {
            tracing::error!(operation = self.operation, row, left_out, "the outcome of a named call cannot be read");
        }
    }

    /// The first call, if the store returned its outcome; `None`: this call was run.
    pub fn original(&self) -> Option<Original> {
        self.original.get().copied()
    }

    /// For stores: records that the outcome is that of an earlier call.
    pub(super) fn repeats(&self, original: Original) {
        let _ = self.original.set(original);
    }

    /// How long an outcome counts; `life`: that of a name that the developer chose.
    pub(super) fn life(&self, life: SignedDuration) -> SignedDuration {
        if self.source.is_deliberate() { life } else { life.min(RESENT_WITHIN) }
    }

    /// Whether the outcome is kept for retries. A refusal of the credential is not: an administrator may give it the right meanwhile. Under
    /// a name that the developer did not choose no refusal is kept: it changed nothing, so the retry may run, and a message template
    /// gets a seat once one is free.
    pub(super) fn keeps<T>(&self, outcome: &Result<T, Refusal>) -> bool {
        match outcome {
            Ok(_) => true,
            Err(Refusal::CallerUnknown | Refusal::RoleTooLow { .. }) => false,
            Err(_) => self.source.is_deliberate(),
        }
    }

    /// The name, if it is valid.
    pub(super) fn text(&self) -> Result<&str, Refusal> {
        self.text.as_deref().map_err(|fault| Refusal::NameInvalid { header: self.source.header(), fault: *fault })
    }
}

impl fmt::Debug for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {:?}", self.source.header(), self.operation, self.text)
    }
}

/// An outcome of a store's method that can be stored.
pub(super) trait Outcome: Send + Sized + 'static {
    type Kept: Serialize + DeserializeOwned;

    fn keep(&self) -> Self::Kept;

    /// `None`: another version wrote it.
    fn from_kept(kept: Self::Kept) -> Option<Self>;
}

/// The stored form of an outcome or a refusal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kept<T> {
    Done(T),
    Refused(KeptRefusal),
}

/// See [`Refusal::Kept`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptRefusal {
    code: String,
    text: String,
}

impl KeptRefusal {
    fn of(refusal: &Refusal) -> KeptRefusal {
        KeptRefusal { code: ErrorKind::from(refusal).code().to_owned(), text: refusal.to_string() }
    }

    fn refusal(self) -> Option<Refusal> {
        let KeptRefusal { code, text } = self;
        ErrorKind::of_refusal(&code).map(|_| Refusal::Kept { code, text })
    }
}

/// The text for the row of a named call.
pub(super) fn to_json<T: Outcome>(outcome: &Result<T, Refusal>) -> String {
    let kept = keep(outcome);
    serde_json::to_string(&kept).unwrap_or_else(|error| unreachable!("{error}: an outcome is text and numbers"))
}

/// Reads that text. `None`: another version of the program, or another program, wrote it.
pub(super) fn of_json<T: Outcome>(json: &[u8]) -> Option<Result<T, Refusal>> {
    from_kept(serde_json::from_slice(json).ok()?)
}

fn keep<T: Outcome>(outcome: &Result<T, Refusal>) -> Kept<T::Kept> {
    match outcome {
        Ok(value) => Kept::Done(value.keep()),
        Err(refusal) => Kept::Refused(KeptRefusal::of(refusal)),
    }
}

fn from_kept<T: Outcome>(kept: Kept<T::Kept>) -> Option<Result<T, Refusal>> {
    match kept {
        Kept::Done(value) => T::from_kept(value).map(Ok),
        Kept::Refused(refused) => refused.refusal().map(Err),
    }
}

macro_rules! kept_as_it_is {
    ($($of:ty),*) => {
        $(impl Outcome for $of {
            type Kept = $of;

            fn keep(&self) -> $of {
                self.clone()
            }

            fn from_kept(kept: $of) -> Option<$of> {
                Some(kept)
            }
        })*
    };
}

kept_as_it_is!(SeatId, Owner);

/// For methods that return only whether they succeeded.
impl Outcome for () {
    type Kept = ();

    fn keep(&self) {}

    fn from_kept((): ()) -> Option<()> {
        Some(())
    }
}

impl Outcome for Vec<Result<SeatId, Refusal>> {
    type Kept = Vec<Kept<SeatId>>;

    fn keep(&self) -> Self::Kept {
        self.iter().map(keep).collect()
    }

    fn from_kept(kept: Self::Kept) -> Option<Self> {
        kept.into_iter().map(from_kept).collect()
    }
}

/// See [`Added`].
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAdded {
    owner: Option<Owner>,
    refused: Option<KeptRefusal>,
}

impl Outcome for Added {
    type Kept = KeptAdded;

    fn keep(&self) -> KeptAdded {
        KeptAdded { owner: self.owner.clone(), refused: self.refused.as_ref().map(KeptRefusal::of) }
    }

    fn from_kept(KeptAdded { owner, refused }: KeptAdded) -> Option<Added> {
        let refused = match refused {
            None => None,
            Some(refused) => Some(refused.refusal()?),
        };
        Some(Added { owner, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::{Dates, Terms};
    use crate::seats::LicenseType;

    fn owner() -> Owner {
        let at = |text: &str| Some(text.parse().expect("a time"));
        let terms = Terms {
            company_name: "Contoso".to_owned(),
            serial_nr: Some("1010000014".to_owned()),
            dates: Dates { expires: at("2027-01-31T00:00:00Z"), grace: Some(Timestamp::MAX), ..Dates::default() },
            seats: [1, 2, 3],
        };
        Owner {
            entity_id: 42,
            active: true,
            name: "CONTOSO".to_owned(),
            description: None,
            shop_url: Some("https://shop.example/".to_owned()),
            current: terms.clone(),
            offered: None,
            in_use: [0, 1, 0],
            held: [false, true, false],
            can_assign: [true, false, true],
        }
    }

    const OWNER: &str = r#"{"entity_id":42,"active":true,"name":"CONTOSO","description":null,"shop_url":"https://shop.example/","current":{"company_name":"Contoso","serial_nr":"1010000014","dates":{"next_check":null,"maintenance":null,"admin_warning":null,"expires":"2027-01-31T00:00:00Z","grace":"9999-12-30T22:00:00.999999999Z"},"seats":[1,2,3]},"offered":null,"in_use":[0,1,0],"held":[false,true,false],"can_assign":[true,false,true]}"#;

    fn not_assigned() -> Refusal {
        Refusal::NotAssigned { username: "anna".to_owned(), license_type: LicenseType::SqlBackup }
    }

    const NOT_ASSIGNED: &str = r#"{"code":"NotAssigned","text":"User 'anna' holds no SqlBackup license. Check the user name and the type, or assign one."}"#;

    /// Rows outlive an upgrade: later versions must read every written form as long as names live.
    #[track_caller]
    fn is_kept_as<T: Outcome + PartialEq + std::fmt::Debug>(outcome: &Result<T, Refusal>, json: &str) {
        assert_eq!(to_json(outcome), json);
        let read = of_json::<T>(json.as_bytes()).expect(json);
        assert_eq!(to_json(&read), json, "as it was written");
        match (outcome, read) {
            (Ok(kept), Ok(read)) => assert_eq!(&read, kept),
            (Err(kept), Err(read)) => {
                assert_eq!((ErrorKind::from(&read), read.to_string()), (ErrorKind::from(kept), kept.to_string()));
            }
            (kept, read) => panic!("{kept:?} was read as {read:?}"),
        }
    }

    #[test]
    fn the_form_of_kept_outcomes_is_stable() {
        let seat = SeatId { pool_id: 1, seat_no: 2 };
        is_kept_as(&Ok(()), r#"{"done":null}"#);
        is_kept_as(&Ok(seat), r#"{"done":{"pool_id":1,"seat_no":2}}"#);
        is_kept_as::<SeatId>(&Err(not_assigned()), &format!(r#"{{"refused":{NOT_ASSIGNED}}}"#));
        is_kept_as(&Ok(owner()), &format!(r#"{{"done":{OWNER}}}"#));
        let added = |owner, refused| Ok(Added { owner, refused });
        is_kept_as(&added(Some(owner()), None), &format!(r#"{{"done":{{"owner":{OWNER},"refused":null}}}}"#));
        let json = to_json(&added(None, Some(not_assigned())));
        assert_eq!(json, format!(r#"{{"done":{{"owner":null,"refused":{NOT_ASSIGNED}}}}}"#));
        let items: Result<Vec<Result<SeatId, Refusal>>, Refusal> = Ok(vec![Ok(seat), Err(not_assigned())]);
        let json = to_json(&items);
        assert_eq!(
            json,
            format!(r#"{{"done":[{{"done":{{"pool_id":1,"seat_no":2}}}},{{"refused":{NOT_ASSIGNED}}}]}}"#)
        );
        let read = of_json::<Vec<Result<SeatId, Refusal>>>(json.as_bytes()).expect("ours");
        assert_eq!(to_json(&read), json);
    }

    #[test]
    fn what_is_of_another_version_is_not_read() {
        for json in [
            "",
            "null",
            "{}",
            r#"{"done":null}"#,
            r#"{"done":{"pool_id":1}}"#,
            r#"{"refused":{"code":"NotAssigned"}}"#,
            r#"{"refused":{"code":"Unheard","text":"of"}}"#,
            r#"{"refused":{"code":"InvalidSoapCredentials","text":"never kept"}}"#,
            "\u{FFFD}",
        ] {
            assert!(of_json::<SeatId>(json.as_bytes()).is_none(), "{json}");
        }
        assert!(of_json::<SeatId>(b"\xFF").is_none());
        // A later version may add members.
        assert!(of_json::<SeatId>(br#"{"done":{"pool_id":1,"seat_no":2,"more":3}}"#).is_some());
    }
}
