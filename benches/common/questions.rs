//! Questions as resolvers ask them.

use evenkeel::dice::Roll;

/// A network in Britain.
pub(crate) const NETWORK: [u8; 3] = [81, 2, 69];

/// An A question with EDNS.
pub(crate) fn question(name: &str) -> Vec<u8> {
    let mut question = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("the labels of benches are short"));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend(b"\0\0\x01\0\x01");
    question.extend(b"\0\0\x29\x04\xD0\0\0\0\0\0\0");
    question
}

/// The same on behalf of a /24 (RFC 7871 section 6).
pub(crate) fn with_subnet(mut question: Vec<u8>, network: [u8; 3]) -> Vec<u8> {
    let [a, b, c] = network;
    let option = [0, 8, 0, 7, 0, 1, 24, 0, a, b, c];
    let len_at = question.len() - 2;
    let len = u16::try_from(option.len()).expect("it is short");
    question[len_at..].copy_from_slice(&len.to_be_bytes());
    question.extend(option);
    question
}

/// Twelve letters: no name of the zones here has such a label.
pub(crate) fn letters(roll: &mut Roll) -> String {
    (0..12).map(|_| char::from(b'a' + u8::try_from(roll.below(26)).expect("below 26"))).collect()
}
