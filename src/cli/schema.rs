//! `evenkeel schema`: what editors have to know of the files.
//!
//! Not here: how a schema comes about (`config::schema`).

use std::process::ExitCode;

use clap::ValueEnum;

use super::print;
use crate::{config::schema, wire::Rtype};

/// A kind of file.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum File {
    /// The server file.
    Server,
    /// Zone files.
    Zone,
}

/// Prints the schema of a file.
pub(super) fn run(file: File) -> ExitCode {
    let schema = match file {
        File::Server => schema::server(),
        File::Zone => schema::zone(&types()),
    };
    print(&format!("{schema:#}\n"))
}

/// The types of which a zone file may have records: not the SOA, which has a key of its own, and not
/// what signs a zone.
fn types() -> Vec<String> {
    let signing =
        [Rtype::SIG, Rtype::NXT, Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::NSEC3PARAM];
    let may_stand = |it: &Rtype| !it.is_meta() && *it != Rtype::SOA && !signing.contains(it);
    Rtype::named().filter(may_stand).map(|it| it.to_string()).collect()
}
