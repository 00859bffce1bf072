//! The parameters of SVCB and HTTPS records (RFC 9460 section 2.1), read by hickory one by one.
//!
//! hickory wants them in the order of their keys and the text allows any; so each is read alone
//! and they are put in order here.

use hickory_proto::{
    rr::{RData, RecordType},
    serialize::binary::BinEncodable,
};

use crate::compile::words::Word;

/// Octets before the first parameter in the data of `0 .`: the priority and the root.
const BEFORE_LEN: usize = 3;

/// Appends the parameters in wire form; else says which word is bad, and why.
pub(super) fn params(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), (usize, String)> {
    let mut params: Vec<(u16, Vec<u8>)> = Vec::with_capacity(words.len());
    for (idx, word) in words.iter().enumerate() {
        let bad = || (idx, format!("`{}` is not a service parameter", word.text));
        let octets = one(word).ok_or_else(bad)?;
        let key = u16::from_be_bytes(*octets.first_chunk().ok_or_else(bad)?);
        if params.iter().any(|(it, _)| *it == key) {
            return Err((idx, format!("the key of `{}` is there twice", word.text)));
        }
        params.push((key, octets));
    }
    params.sort();
    // A key that is mandatory has to be there (RFC 9460 section 8); key 0 is `mandatory` itself.
    if let Some((0, octets)) = params.first() {
        let mut wanted: Vec<[u8; 2]> = octets[4..].as_chunks::<2>().0.to_vec();
        wanted.sort_unstable();
        let there = |key: &[u8; 2]| params[1..].iter().any(|it| it.0.to_be_bytes() == *key);
        if wanted.windows(2).any(|it| it[0] == it[1]) || !wanted.iter().all(there) {
            return Err((0, "`mandatory` names a key twice, or one that is not there".to_owned()));
        }
        params[0].1.truncate(4);
        params[0].1.extend(wanted.concat());
    }
    // `no-default-alpn` (2) says nothing without `alpn` (1) (RFC 9460 section 7.1.1).
    if params.iter().any(|it| it.0 == 2) && !params.iter().any(|it| it.0 == 1) {
        return Err((0, "`no-default-alpn` needs `alpn`".to_owned()));
    }
    out.extend(params.into_iter().flat_map(|(_, octets)| octets));
    Ok(())
}

/// One parameter in wire form: key, length, value.
fn one(word: &Word<'_>) -> Option<Vec<u8>> {
    // What hickory's lexer takes for something else than text, or for other octets.
    let special = [';', '(', ')', '\\', '\n'];
    if !word.text.is_ascii() || word.text.contains(special) || word.text.starts_with(['@', '$']) {
        return None;
    }
    let text = word.text.replace('"', "");
    let data = RData::try_from_str(RecordType::SVCB, &format!("1 . {text}")).ok()?;
    let octets = data.to_bytes().ok()?;
    octets.get(BEFORE_LEN..).map(<[u8]>::to_vec)
}
