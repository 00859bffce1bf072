//! Webhooks against a receiver on loopback.

use std::{sync::Mutex, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};

use super::*;
use crate::{
    compile::EventKind,
    state::journal::{Journal, Transition},
};

/// What a receiver was sent, and how it answers: the codes of the first requests, then 204.
#[derive(Clone, Default)]
struct Peer {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    codes: Arc<Mutex<VecDeque<u16>>>,
    /// How long each answer takes.
    wait: Duration,
}

impl Peer {
    fn answering(codes: &[u16]) -> Self {
        let codes = Arc::new(Mutex::new(codes.iter().copied().collect()));
        Self { codes, ..Self::default() }
    }

    /// Starts it, and gives its URL.
    async fn start(&self) -> String {
        async fn take(State(peer): State<Peer>, headers: HeaderMap, body: String) -> StatusCode {
            sleep(peer.wait).await;
            peer.got.lock().unwrap().push((headers, body));
            let code = peer.codes.lock().unwrap().pop_front().unwrap_or(204);
            StatusCode::from_u16(code).unwrap()
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let routes = Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        url
    }

    /// Waits for so many requests, and gives their bodies' ids.
    async fn ids(&self, count: usize) -> Vec<u64> {
        for _ in 0..3000 {
            if count <= self.got.lock().unwrap().len() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let got = self.got.lock().unwrap();
        let ids = got.iter().map(|(_, body)| {
            let id = body.split("\"id\":").nth(1).unwrap();
            id.split(',').next().unwrap().parse().unwrap()
        });
        ids.collect()
    }
}

fn webhook(url: &str, kinds: &[EventKind]) -> Webhook {
    let secret = Some(Secret(b"key"[..].into()));
    Webhook { url: url.into(), kinds: kinds.into(), secret }
}

fn entry(journal: &mut Journal, kind: EventKind) -> Arc<Entry> {
    let text = |it: &str| it.to_owned();
    let what = Transition {
        kind,
        subject: text("www.example.com./us-east-1/192.0.2.10"),
        from: text("up"),
        to: text("down"),
        why: text("\"quoted\""),
    };
    journal.note(UNIX_EPOCH, what)
}

#[test]
fn the_signature_is_the_known_one() {
    // HMAC-SHA256 of `0.The quick brown fox` with the key `key`, by openssl.
    let secret = Secret(b"key"[..].into());
    let text = "The quick brown fox";
    let expect = "sha256=10c3ae5bdd0fd5c9ad60a05ea4051bb529622def626c0d64295951b2039454ed";
    assert_eq!(signature(&secret, 0, text), expect);
    assert!(!format!("{secret:?}").contains("key"));
}

#[test]
fn waits_grow_up_to_a_limit() {
    let seconds: Vec<u64> = (1..=8).map(|done| backoff(done).as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(backoff(u32::MAX), WEBHOOK_BACKOFF_MAX);
}

#[tokio::test]
async fn events_are_posted_signed_and_in_order() {
    // The first is not taken at once, and those after it wait.
    let peer = Peer::answering(&[500]);
    let mut hooks = Hooks::default();
    hooks.set(&[webhook(&peer.start().await, &[EventKind::Verdict, EventKind::Blind])]);
    let mut journal = Journal::default();
    for kind in [EventKind::Verdict, EventKind::Override, EventKind::Blind] {
        hooks.tell(&entry(&mut journal, kind));
    }
    assert_eq!(peer.ids(3).await, [1, 1, 3]);
    for (headers, body) in peer.got.lock().unwrap().iter() {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let timestamp: u64 = header("x-evenkeel-timestamp").parse().unwrap();
        assert!(1_700_000_000 < timestamp);
        let expect = signature(&Secret(b"key"[..].into()), timestamp, body);
        assert_eq!(header("x-evenkeel-signature"), expect);
        assert_eq!(header("content-type"), "application/json");
        let shared = r#""at":"1970-01-01T00:00:00.000Z","kind":""#;
        assert!(body.contains(shared) && body.contains(r#""why":"\"quoted\"""#), "{body}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    let peer = Peer::answering(&[400, 302, 204]);
    let mut hooks = Hooks::default();
    hooks.set(&[webhook(&peer.start().await, &EventKind::ALL)]);
    let mut journal = Journal::default();
    for _ in 0..3 {
        hooks.tell(&entry(&mut journal, EventKind::Verdict));
    }
    assert_eq!(peer.ids(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_slow_webhook_delays_no_other() {
    let slow = Peer { wait: Duration::from_mins(1), ..Peer::default() };
    let fast = Peer::default();
    let mut hooks = Hooks::default();
    let urls = [slow.start().await, fast.start().await];
    let webhooks = urls.map(|url| webhook(&url, &EventKind::ALL));
    hooks.set(&webhooks);
    let mut journal = Journal::default();
    hooks.tell(&entry(&mut journal, EventKind::Verdict));
    // Who stays keeps what waits for it.
    hooks.set(&webhooks[1..]);
    hooks.tell(&entry(&mut journal, EventKind::Verdict));
    assert_eq!(fast.ids(2).await, [1, 2]);
    assert!(slow.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_are_let_go() {
    let queue = Queue::default();
    let mut journal = Journal::default();
    for _ in 0..WEBHOOK_EVENTS_WAITING_MAX + 3 {
        queue.push(entry(&mut journal, EventKind::Verdict));
    }
    let (first, dropped) = queue.next().await;
    assert_eq!((first.id, dropped), (4, 3));
    let (second, dropped) = queue.next().await;
    assert_eq!((second.id, dropped), (5, 0));
}
