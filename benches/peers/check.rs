//! Whether what a server answers is what it was told to answer, read by another one's parser.

use hickory_proto::{
    op::{Edns, Message, MessageType, ResponseCode},
    rr::{
        RData,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};

use super::{
    common::{
        Result,
        load::{REPLY_WAIT, reply_to},
        server::Server,
    },
    data::{Asked, FIRST_SHARE, Scenario},
    peer::Peer,
};

/// Replies that are looked at.
const CHECKED: usize = 500;

/// How far a share of [`CHECKED`] draws may be from the weights: five times its deviation.
const SHARE_ERROR_MAX: f64 = 0.11;

/// How often a question is asked again when nothing comes.
const TRIES_MAX: usize = 50;

/// Checks the replies to the first questions, and gives the length of the first in octets.
pub(crate) fn replies(
    peer: Peer,
    scenario: Scenario,
    asked: &[Asked],
    server: &Server,
) -> Result<usize> {
    let (mut n_first, mut first_len) = (0, 0);
    for (idx, asked) in asked.iter().take(CHECKED).enumerate() {
        let reply = reply(asked, server)?.ok_or_else(|| format!("{} is silent", peer.name()))?;
        if idx == 0 {
            first_len = reply.len();
        }
        if peer == Peer::Reflector {
            continue;
        }
        let wrong = |what: String| format!("{}, asked for {}: {what}", peer.name(), asked.name);
        let message = Message::from_vec(&reply).map_err(|error| wrong(error.to_string()))?;
        let address = answer(&message, asked).map_err(wrong)?;
        let addresses = scenario.addresses(asked.network.continent);
        if !addresses.contains(&&*address) {
            return Err(wrong(format!("{address}, and not one of {addresses:?}")).into());
        }
        n_first += u32::from(address == addresses[0]);
        if scenario == Scenario::Placed {
            scope(&message, asked).map_err(wrong)?;
        }
    }
    let n_checked = u32::try_from(CHECKED.min(asked.len())).expect("a small number");
    let share = f64::from(n_first) / f64::from(n_checked);
    let expected = if peer.draws(scenario) { FIRST_SHARE } else { 1.0 };
    if peer != Peer::Reflector && SHARE_ERROR_MAX < (share - expected).abs() {
        return Err(format!("{} draws the first address {share} of the time", peer.name()).into());
    }
    Ok(first_len)
}

fn reply(asked: &Asked, server: &Server) -> Result<Option<Vec<u8>>> {
    for _ in 0..TRIES_MAX {
        if let Some(reply) = reply_to(&asked.octets, server.address, REPLY_WAIT)? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

/// The one address in the answer.
fn answer(message: &Message, asked: &Asked) -> std::result::Result<String, String> {
    if message.metadata.message_type != MessageType::Response {
        return Err("not a response".into());
    }
    if message.metadata.response_code != ResponseCode::NoError {
        return Err(message.metadata.response_code.to_string());
    }
    let [record] = &message.answers[..] else {
        return Err(format!("{} records", message.answers.len()));
    };
    if record.name.to_ascii().trim_end_matches('.') != asked.name {
        return Err(format!("a record of {}", record.name));
    }
    match &record.data {
        RData::A(address) => Ok(address.to_string()),
        other => Err(format!("{other}")),
    }
}

/// The network that was asked for has to be repeated, with the prefix for which the answer holds.
fn scope(message: &Message, asked: &Asked) -> std::result::Result<(), String> {
    let options = message.edns.as_ref().map(Edns::options);
    let Some(EdnsOption::Subnet(subnet)) = options.and_then(|it| it.get(EdnsCode::Subnet)) else {
        return Err("no client subnet".into());
    };
    let [a, b, c] = asked.network.octets;
    let is_repeated =
        subnet.addr() == std::net::IpAddr::from([a, b, c, 0]) && subnet.source_prefix() == 24;
    let is_scope = 0 < subnet.scope_prefix() && subnet.scope_prefix() <= 32;
    if is_repeated && is_scope { Ok(()) } else { Err(format!("client subnet {subnet:?}")) }
}
