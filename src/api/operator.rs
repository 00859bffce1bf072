//! The operator's calls: overrides and dials.
//!
//! Not here: whether one may be set (`state::operator`), and that it is kept (`app::operator`).

use std::time::SystemTime;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State, rejection::BytesRejection},
    response::Response,
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Api, Problem, Request, Saying, Unsaid,
    calls::{ask, json, parameters, unknown_parameter},
    time::rfc3339,
};
use crate::{
    clock,
    config::duration,
    limits::OPERATOR_TEXT_LEN_MAX,
    state::{Dial, Note, Override, Overrides, Pattern, Word},
};

/// Every call.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/overrides", get(list).post(set))
        .route("/overrides/{what}", delete(clear))
        .route("/dials/{region}", post(dial))
}

/// `POST overrides`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    target: String,
    state: String,
    reason: Option<String>,
    author: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    #[serde(default)]
    force: bool,
}

/// `POST dials/{region}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedDial {
    percent: u8,
    reason: Option<String>,
    author: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    #[serde(default)]
    force: bool,
}

/// `GET overrides`.
#[derive(Debug, Serialize)]
struct Listed {
    overrides: Vec<Told>,
    dials: Vec<ToldDial>,
}

/// An override, as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    id: u64,
    target: String,
    state: String,
    #[serde(flatten)]
    note: ToldNote,
}

#[derive(Debug, Serialize)]
struct ToldDial {
    region: String,
    percent: u8,
    #[serde(flatten)]
    note: ToldNote,
}

#[derive(Debug, Serialize)]
struct ToldNote {
    reason: String,
    author: String,
    since: String,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct Set {
    id: u64,
}

#[derive(Debug, Serialize)]
struct Cleared {
    cleared: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Dialed {
    region: String,
    percent: u8,
}

impl From<&Override> for Told {
    fn from(it: &Override) -> Self {
        let (target, state) = (it.target.to_string(), it.word.to_string());
        Self { id: it.id, target, state, note: ToldNote::from(&it.note) }
    }
}

impl From<&Note> for ToldNote {
    fn from(note: &Note) -> Self {
        Self {
            reason: note.reason.clone(),
            author: note.author.clone(),
            since: rfc3339(note.since),
            until: note.until.map(rfc3339),
        }
    }
}

impl From<&Overrides> for Listed {
    fn from(said: &Overrides) -> Self {
        let dial = |(region, it): (&str, &Dial)| ToldDial {
            region: region.to_owned(),
            percent: it.percent,
            note: ToldNote::from(&it.note),
        };
        Self {
            overrides: said.iter().map(Told::from).collect(),
            dials: said.dials().map(dial).collect(),
        }
    }
}

async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let said = ask(&api, Request::Overrides).await?;
    Ok(json(&Listed::from(&said)))
}

async fn set(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked: Asked = read(body)?;
    let target = Pattern::new(&asked.target).ok_or_else(|| {
        let hint = "name a region, a name, `name/pool` or an address; `*` is any run of characters";
        Problem::bad_parameter(format!("`{}` is no target", asked.target), hint)
    })?;
    let word = match &*asked.state {
        "up" => Word::Up,
        "down" => Word::Down,
        "drain" => Word::Drain,
        other => {
            let detail = format!("`{other}` is no state");
            return Err(Problem::bad_parameter(detail, "write `up`, `down` or `drain`"));
        }
    };
    let note = note(asked.reason, asked.author, asked.lasts.as_deref())?;
    let ids = say(&api, Saying::Set(target, word, note), asked.force).await?;
    Ok(json(&Set { id: ids.first().copied().unwrap_or_default() }))
}

async fn clear(
    State(api): State<Api>,
    Path(what): Path<Box<str>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut author = String::new();
    for (key, value) in parameters(query.as_deref()) {
        match &*key {
            "author" => author = value,
            _ => return Err(unknown_parameter(&key, "`author`")),
        }
    }
    too_long(&[&author])?;
    let cleared = say(&api, Saying::Clear(what, author), false).await?;
    Ok(json(&Cleared { cleared }))
}

async fn dial(
    State(api): State<Api>,
    Path(region): Path<Box<str>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked: AskedDial = read(body)?;
    if 100 < asked.percent {
        let detail = format!("{} percent are no share", asked.percent);
        return Err(Problem::bad_parameter(detail, "write a number from 0 to 100"));
    }
    let note = note(asked.reason, asked.author, asked.lasts.as_deref())?;
    let dial = Dial { percent: asked.percent, note };
    say(&api, Saying::Dial(region.clone(), dial), asked.force).await?;
    Ok(json(&Dialed { region: region.into(), percent: asked.percent }))
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|it| Problem::bad_body(it.status(), it.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let hint = "send a JSON object with the fields that docs/api.md names";
        Problem::bad_parameter(format!("the body cannot be read: {error}"), hint)
    })
}

/// What stands beside an act: it takes a reason, so that whoever finds it knows what to ask.
fn note(
    reason: Option<String>,
    author: Option<String>,
    lasts: Option<&str>,
) -> Result<Note, Problem> {
    let reason = reason.filter(|it| !it.trim().is_empty()).ok_or_else(|| {
        Problem::bad_parameter("there is no `reason`", "say why, for whoever finds it later")
    })?;
    let author = author.unwrap_or_default();
    too_long(&[&reason, &author])?;
    let since: SystemTime = clock::wall();
    let until = lasts.map(|text| {
        let lasts = duration(text).filter(|it| !it.is_zero());
        lasts.and_then(|it| since.checked_add(it)).ok_or_else(|| {
            let hint = "write `500ms`, `10s`, `5m`, `1h`, `1d`, or leave it out";
            Problem::bad_parameter(format!("`{text}` is no time to last `for`"), hint)
        })
    });
    Ok(Note { reason, author, since, until: until.transpose()? })
}

fn too_long(texts: &[&str]) -> Result<(), Problem> {
    if texts.iter().all(|it| it.len() <= OPERATOR_TEXT_LEN_MAX) {
        return Ok(());
    }
    let hint = format!("`reason` and `author` have at most {OPERATOR_TEXT_LEN_MAX} octets");
    Err(Problem::bad_parameter("that is too long to be kept", hint))
}

async fn say(api: &Api, saying: Saying, force: bool) -> Result<Vec<u64>, Problem> {
    let said = ask(api, |reply| Request::Say(saying, force, reply)).await?;
    said.map_err(|why| match why {
        Unsaid::Unknown(detail) => {
            Problem::unknown(detail, "`evenkeel status` and `endpoints` name what there is")
        }
        Unsaid::Nothing(names) => Problem::would_leave_nothing(&names),
        Unsaid::NotKept(detail) => Problem::not_kept(detail),
    })
}
