//! A cursor over a message: nothing is read past its end.

use crate::limits::LABEL_LEN_MAX;

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'p>(&'p [u8]);

/// The message ends too early, or holds what no message may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'p> Reader<'p> {
    pub(super) fn new(octets: &'p [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn rest(&self) -> &'p [u8] {
        self.0
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'p [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]| octet)
    }

    /// Passes a name, which may end in a pointer (RFC 1035 section 4.1.4), without following it.
    pub(super) fn skip_name(&mut self) -> Result<(), Malformed> {
        loop {
            let len = usize::from(self.u8()?);
            match len {
                0 => return Ok(()),
                1..=LABEL_LEN_MAX => self.take(len)?,
                0xC0..=0xFF => return self.u8().map(drop),
                // The two other label types are not in use (RFC 6891 section 5).
                _ => return Err(Malformed),
            };
        }
    }
}
