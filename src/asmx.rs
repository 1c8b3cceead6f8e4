//! LicenseManagementService, the ASMX service for agents: `operations` describes and runs its operations, `endpoint` answers
//! messages, `pages` answers browsers; [`wsdl`], `help` and [`sample`] follow from the description.

mod endpoint;
mod help;
mod operations;
pub(crate) mod pages;
pub mod sample;
mod streamed;
pub mod wsdl;

pub use operations::{Asmx, CONTRACT, Contract, Operation, PATH};
