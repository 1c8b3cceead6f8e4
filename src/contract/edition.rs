//! Editions of a contract. One description serves all of them: a member or operation is marked with the edition that added
//! it.

/// From the oldest to the newest. Each includes the editions before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// The members of all editions; the only edition of a contract that never changed.
    First,
    Services84,
    Services85,
    Services86,
    Services87,
    Services88,
    /// The vendor adds members here that the SOAP contracts do not get.
    WebApi,
}

impl Edition {
    /// The editions of the SOAP services. Older ones are not served, because no published document was found to compare them
    /// with.
    pub const SERVICES: [Edition; 5] =
        [Edition::Services84, Edition::Services85, Edition::Services86, Edition::Services87, Edition::Services88];

    /// Part of the addresses of its services; empty if it has none.
    pub const fn name(self) -> &'static str {
        match self {
            Edition::First | Edition::WebApi => "",
            Edition::Services84 => "Services84",
            Edition::Services85 => "Services85",
            Edition::Services86 => "Services86",
            Edition::Services87 => "Services87",
            Edition::Services88 => "Services88",
        }
    }

    /// Namespace of its message elements, header blocks and types; empty if it has no services.
    pub const fn namespace(self) -> &'static str {
        match self {
            Edition::First | Edition::WebApi => "",
            Edition::Services84 => "http://www.superoffice.net/ws/crm/NetServer/Services84",
            Edition::Services85 => "http://www.superoffice.net/ws/crm/NetServer/Services85",
            Edition::Services86 => "http://www.superoffice.net/ws/crm/NetServer/Services86",
            Edition::Services87 => "http://www.superoffice.net/ws/crm/NetServer/Services87",
            Edition::Services88 => "http://www.superoffice.net/ws/crm/NetServer/Services88",
        }
    }

    /// The edition whose elements are in a namespace.
    pub fn of_namespace(namespace: &str) -> Edition {
        Edition::SERVICES.into_iter().find(|edition| edition.namespace() == namespace).unwrap_or(Edition::First)
    }
}
