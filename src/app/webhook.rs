//! Webhooks: events, posted to whom the files name.
//!
//! ```text
//!   tell --> a queue per webhook (bounded, the oldest goes) --> its task: POST, wait, again
//! ```
//!
//! A request carries the event as the API gives it, and
//!
//! ```text
//!   X-Evenkeel-Timestamp: 1795188958               when it was sent, in seconds since 1970
//!   X-Evenkeel-Signature: sha256=5d41402abc...     HMAC-SHA256 over `<timestamp>.<body>`
//! ```
//!
//! # Invariants
//!
//! - Whoever tells an event waits for nobody, and no webhook waits for another.
//! - A webhook gets its events in their order. One that was not taken after `WEBHOOK_TRIES_MAX` tries
//!   is let go, so that the next come through.
//! - No secret is in the log.
//!
//! Not here: what is told (`keeping`), and whom (`compile::webhooks`).

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::{Client, StatusCode, redirect};
use ring::hmac;
use tokio::{sync::Notify, task::JoinHandle, time::sleep};

use crate::{
    api::body,
    clock,
    compile::{Secret, Webhook},
    health,
    limits::{
        WEBHOOK_BACKOFF_MAX, WEBHOOK_BACKOFF_MIN, WEBHOOK_EVENTS_WAITING_MAX, WEBHOOK_TRIES_MAX,
        WEBHOOK_WAIT_MAX,
    },
    state::journal::Entry,
};

/// The running webhooks.
#[derive(Default)]
pub(super) struct Hooks {
    hooks: Vec<Hook>,
    /// Events that were not taken, of all webhooks there were.
    lost: Arc<AtomicU64>,
}

/// A running webhook. It stops when this is dropped.
struct Hook {
    webhook: Webhook,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// What waits for a webhook.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Arc<Entry>>,
    /// The one that is being sent.
    sending: Option<Arc<Entry>>,
    /// How many were let go since the last that was sent.
    dropped: u64,
}

impl Hooks {
    /// Tells these from now on. Those that stay keep what waits for them.
    pub(super) fn set(&mut self, webhooks: &[Webhook]) {
        let mut before = std::mem::take(&mut self.hooks);
        for webhook in webhooks {
            let known = before.iter().position(|it| it.webhook == *webhook);
            let hook = known
                .map_or_else(|| Hook::start(webhook, &self.lost), |idx| before.swap_remove(idx));
            self.hooks.push(hook);
        }
    }

    /// How many events were not taken in the end.
    pub(super) fn n_lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The events that have not been taken, by the webhook's URL; the first of each may be about to be.
    pub(super) fn waiting(&self) -> Vec<(String, Vec<u64>)> {
        let waiting = |hook: &Hook| {
            let waiting = hook.queue.lock();
            let entries = waiting.sending.iter().chain(&waiting.entries);
            (hook.webhook.url.to_string(), entries.map(|it| it.id).collect())
        };
        self.hooks.iter().map(waiting).collect()
    }

    /// Tells the webhook with this URL what another process has not told it.
    pub(super) fn resume(&self, url: &str, entries: impl IntoIterator<Item = Arc<Entry>>) {
        if let Some(hook) = self.hooks.iter().find(|it| *it.webhook.url == *url) {
            entries.into_iter().for_each(|it| hook.queue.push(it));
        }
    }

    /// Tells an event to whom it concerns.
    pub(super) fn tell(&self, entry: &Arc<Entry>) {
        for hook in self.hooks.iter().filter(|it| it.webhook.kinds.contains(&entry.what.kind)) {
            hook.queue.push(Arc::clone(entry));
        }
    }
}

impl Hook {
    fn start(webhook: &Webhook, lost: &Arc<AtomicU64>) -> Self {
        let queue = Arc::<Queue>::default();
        let task = tokio::spawn(run(webhook.clone(), Arc::clone(&queue), Arc::clone(lost)));
        Self { webhook: webhook.clone(), queue, task }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Queue {
    fn push(&self, entry: Arc<Entry>) {
        let mut waiting = self.lock();
        if waiting.entries.len() == WEBHOOK_EVENTS_WAITING_MAX {
            waiting.entries.pop_front();
            waiting.dropped += 1;
        }
        waiting.entries.push_back(entry);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Waits for the next, and says how many before it were let go.
    async fn next(&self) -> (Arc<Entry>, u64) {
        loop {
            {
                let mut waiting = self.lock();
                waiting.sending = waiting.entries.pop_front();
                if let Some(entry) = waiting.sending.clone() {
                    return (entry, std::mem::take(&mut waiting.dropped));
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a try.
enum Sent {
    Taken,
    /// It is of no use to try again.
    Refused(String),
    /// Later it may be taken.
    NotNow(String),
}

/// The life of a webhook.
async fn run(webhook: Webhook, queue: Arc<Queue>, lost: Arc<AtomicU64>) {
    let url = &*webhook.url;
    let client = Client::builder()
        .tls_backend_preconfigured(health::system_trust())
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(WEBHOOK_WAIT_MAX)
        .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%url, %error, "no client can be made for the webhook: it is not told");
            return;
        }
    };
    loop {
        let (entry, dropped) = queue.next().await;
        if 0 < dropped {
            tracing::warn!(%url, dropped, "the webhook is too slow: events were let go");
        }
        let is_taken = deliver(&client, &webhook, &entry).await;
        lost.fetch_add(dropped + u64::from(!is_taken), Relaxed);
    }
}

/// Sends an event until it is taken, or let go: whether it was taken.
async fn deliver(client: &Client, webhook: &Webhook, entry: &Entry) -> bool {
    let url = &*webhook.url;
    let text = body::line(&body::Event::from(entry));
    for done in 1..=WEBHOOK_TRIES_MAX {
        let why = match send(client, webhook, entry, &text).await {
            Sent::Taken => return true,
            Sent::Refused(why) => {
                tracing::warn!(%url, event = entry.id, %why, "the webhook refuses an event");
                return false;
            }
            Sent::NotNow(why) => why,
        };
        if done == WEBHOOK_TRIES_MAX {
            tracing::warn!(%url, event = entry.id, %why, "the webhook did not take an event: it is let go");
            return false;
        }
        tracing::debug!(%url, event = entry.id, %why, "the webhook is tried again");
        sleep(backoff(done)).await;
    }
    false
}

/// How long to wait after so many tries.
fn backoff(done: u32) -> Duration {
    WEBHOOK_BACKOFF_MIN.saturating_mul(1 << (done - 1).min(16)).min(WEBHOOK_BACKOFF_MAX)
}

async fn send(client: &Client, webhook: &Webhook, entry: &Entry, text: &str) -> Sent {
    let timestamp = seconds(clock::wall());
    let mut request = client
        .post(&*webhook.url)
        .header("content-type", "application/json")
        .header("x-evenkeel-event", entry.what.kind.as_str())
        .header("x-evenkeel-id", entry.id)
        .header("x-evenkeel-timestamp", timestamp)
        .body(text.to_owned());
    if let Some(secret) = &webhook.secret {
        request = request.header("x-evenkeel-signature", signature(secret, timestamp, text));
    }
    match request.send().await {
        Ok(response) => match response.status() {
            status if status.is_success() => Sent::Taken,
            status if may_pass(status) => Sent::NotNow(status.to_string()),
            status => Sent::Refused(status.to_string()),
        },
        Err(error) if error.is_builder() => Sent::Refused(cause(&error)),
        Err(error) => Sent::NotNow(cause(&error)),
    }
}

/// Whether the receiver may think otherwise later.
fn may_pass(status: StatusCode) -> bool {
    const PASSING: [StatusCode; 3] =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || PASSING.contains(&status)
}

/// What an error comes down to: its own words repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `sha256=` and the HMAC in hexadecimal. The time is signed as well, so that a request that somebody
/// recorded can be told from a fresh one.
fn signature(Secret(secret): &Secret, timestamp: u64, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{timestamp}.{text}").as_bytes());
    let mut signature = "sha256=".to_owned();
    for octet in tag.as_ref() {
        write!(signature, "{octet:02x}").expect("a String takes everything");
    }
    signature
}

#[cfg(test)]
mod tests;
