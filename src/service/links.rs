//! One-time links. A link allows one action without a password, once, for a limited time. Links exist only in the memory of this
//! process.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// How long a link is valid.
pub const LINK_LIFE: Duration = Duration::from_secs(30 * 60);

/// The most links valid at a time. One more ends the oldest.
const LINKS_MAX: usize = 16;

/// The purpose of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Makes the first administrator, as long as there is no credential.
    FirstAdministrator,
    /// Signs in to the pages as this credential.
    SignIn(String),
}

/// The links that are valid, by the hash of their secret.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<[u8; 32], (LinkPurpose, Instant)>>);

impl Links {
    /// Makes a link; its secret, 64 hexadecimal digits.
    pub(super) fn make(&self, purpose: LinkPurpose, now: Instant) -> Result<String, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let text = secret.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut links = self.lock();
        links.retain(|_, (_, ends)| *ends > now);
        if links.len() >= LINKS_MAX
            && let Some(oldest) = links.iter().min_by_key(|(_, (_, ends))| *ends).map(|(hash, _)| *hash)
        {
            links.remove(&oldest);
        }
        links.insert(hash(&text), (purpose, now + LINK_LIFE));
        Ok(text)
    }

    /// The purpose of a link; `None`: it does not exist or has expired. The link stays valid.
    pub(super) fn purpose(&self, secret: &str, now: Instant) -> Option<LinkPurpose> {
        self.lock().get(&hash(secret)).filter(|(_, ends)| *ends > now).map(|(purpose, _)| purpose.clone())
    }

    /// Ends a link. Whether it was valid: of two callers one gets this.
    pub(super) fn take(&self, secret: &str, now: Instant) -> bool {
        self.lock().remove(&hash(secret)).is_some_and(|(_, ends)| ends > now)
    }

    /// Makes a link that was taken valid again: what it is for was not done.
    pub(super) fn put_back(&self, secret: &str, purpose: LinkPurpose, now: Instant) {
        self.lock().insert(hash(secret), (purpose, now + LINK_LIFE));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], (LinkPurpose, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A map by a hash of the secret: how long a look-up takes says nothing about secrets that are near.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_once_and_for_half_an_hour() {
        let (links, now) = (Links::default(), Instant::now());
        let secret = links.make(LinkPurpose::FirstAdministrator, now).expect("randomness");
        assert_eq!(secret.len(), 64);
        assert_eq!(links.purpose(&secret, now), Some(LinkPurpose::FirstAdministrator));
        assert_eq!(links.purpose(&secret, now + LINK_LIFE), None);
        assert_eq!(links.purpose("guessed", now), None);
        assert!(links.take(&secret, now) && !links.take(&secret, now));
        assert_eq!(links.purpose(&secret, now), None);
        links.put_back(&secret, LinkPurpose::FirstAdministrator, now);
        assert!(!links.take(&secret, now + LINK_LIFE));

        let many: Vec<String> = (0..20)
            .map(|n| links.make(LinkPurpose::SignIn(n.to_string()), now + Duration::from_secs(n)).expect("randomness"))
            .collect();
        let valid = many.iter().filter(|secret| links.purpose(secret, now).is_some()).count();
        assert_eq!(valid, LINKS_MAX);
        assert!(links.purpose(&many[19], now).is_some() && links.purpose(&many[0], now).is_none());
    }
}
