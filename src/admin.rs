//! The pages for administrators: what there is, what needs attention, and every change with preview, confirmation, receipt and undo.
//!
//! * Pages are whole without a script. A little script adds keys; nothing needs it.
//! * Everything that a page shows is in its address: filters, the place in a list. No page depends on what was looked at before.
//! * Rights are those of the credential that is signed in, proved again in each transaction: it sees its entity and everything below, and
//!   changes something only with the role admin. A page that shows no button is a courtesy; the store refuses.
//! * Text that users typed is escaped where it is written, and has its own direction.
//!
//! A change goes through `change`, a list through `list`, both around a use case of [`crate::store::admin`].

mod assets;
mod change;
mod chart;
mod credentials;
mod edits;
mod entities;
mod events;
mod explain;
mod export;
mod filters;
mod form;
mod frame;
mod history;
mod home;
mod import;
mod keys;
mod list;
mod multipart;
mod offers;
mod parts;
mod pools;
mod query;
mod refusals;
mod refused;
mod report;
pub(crate) mod routes;
mod rows;
mod search;
mod seats;
mod secrets;
mod selection;
mod session;
mod sign_in;
mod users;
mod visit;
mod words;
