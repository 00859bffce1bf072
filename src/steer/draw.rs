//! The draw: from a decision and a roll to the endpoints of one answer.

/// The endpoints of one answer.
#[derive(Debug)]
pub struct Drawn;
