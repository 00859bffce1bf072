//! `tcp`: a connection is accepted, and what is said over it is as it should be.
//!
//! *Not here:* how the connection is made (`connect`).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Why, connect};
use crate::{
    health::{ProbeSpec, Tcp},
    limits::{PROBE_BODY_LEN_MAX, PROBE_READ_LEN},
};

/// Connects, sends what is to be sent and reads until what is expected was said.
pub(super) async fn converse(spec: &ProbeSpec, tcp: &Tcp) -> Result<(), Why> {
    let mut stream = connect::over_tcp(spec).await?;
    if let Some(text) = &tcp.send {
        stream.write_all(text.as_bytes()).await.map_err(|_| Why::Exchange)?;
    }
    let Some(expect) = &tcp.expect else { return Ok(()) };
    let mut search = Search::new(expect.as_bytes());
    loop {
        if search.is_found {
            return Ok(());
        }
        if PROBE_BODY_LEN_MAX <= search.read {
            return Err(Why::Expect);
        }
        let mut part = [0; PROBE_READ_LEN];
        match stream.read(&mut part).await {
            Ok(0) => return Err(Why::Expect),
            Ok(len) => search.take(&part[..len]),
            Err(_) => return Err(Why::Exchange),
        }
    }
}

/// A text that is looked for in what comes in parts, of which only what it may begin in is kept.
#[derive(Debug)]
pub(super) struct Search<'t> {
    text: &'t [u8],
    /// The end of what was read.
    kept: Vec<u8>,
    /// Octets so far.
    pub(super) read: usize,
    /// Whether it occurred.
    pub(super) is_found: bool,
}

impl<'t> Search<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, kept: Vec::new(), read: 0, is_found: text.is_empty() }
    }

    /// Looks into the next part, up to the limit of what is read.
    pub(super) fn take(&mut self, part: &[u8]) {
        let part = &part[..part.len().min(PROBE_BODY_LEN_MAX - self.read)];
        self.read += part.len();
        self.kept.extend_from_slice(part);
        if self.is_found || self.text.is_empty() {
            return;
        }
        self.is_found = self.kept.windows(self.text.len()).any(|it| it == self.text);
        let gone = self.kept.len().saturating_sub(self.text.len() - 1);
        self.kept.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_found_however_it_comes(
            text in "[ab]{1,4}",
            parts in prop::collection::vec("[ab]{0,5}", 0..8),
        ) {
            let mut search = Search::new(text.as_bytes());
            for part in &parts {
                search.take(part.as_bytes());
            }
            let whole = parts.concat();
            prop_assert_eq!(search.is_found, whole.contains(&text));
            prop_assert_eq!(search.read, whole.len());
        }
    }
}
