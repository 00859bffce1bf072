//! The operator's calls: overrides and dials.
//!
//! Not here: whether one may be set (`state::operator`), and that it is kept (`app::operator`).

use std::time::SystemTime;

use axum::{
    Extension,
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    response::Response,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Problem, Request, Saying, Unsaid,
    access::Caller,
    calls::{Segment, ask, flag, json, no_parameters, parameters, segment, unknown_parameter},
    forms::{AuthorForm, LastsForm, ReasonForm, TargetForm, WordForm},
    preview::Preview,
    problem::Refused,
    time::rfc3339,
};
use crate::{
    clock,
    config::duration,
    limits::{DURATION_MAX, OPERATOR_TEXT_LEN_MAX},
    state::{Dial, Note, Override, Overrides, Pattern, Word},
};

/// What changes answers.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(set)).routes(routes!(clear)).routes(routes!(dial))
}

/// An override to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A region, a name, `name/pool`, `name/pool/address` or an address; `*` is any run of characters.
    #[schema(value_type = TargetForm, example = "us-east-1")]
    target: String,
    /// What its endpoints are, whatever their checks say.
    #[schema(value_type = WordForm, example = "drain")]
    state: String,
    /// Why, for whoever finds it later.
    #[schema(value_type = ReasonForm, example = "disks")]
    reason: Option<String>,
    /// Who says so; without, the name of the token.
    #[schema(value_type = Option<AuthorForm>, example = "ann")]
    author: Option<String>,
    /// When it ends by itself; without, it is taken back by hand.
    #[serde(rename = "for")]
    #[schema(value_type = Option<LastsForm>, example = "30m")]
    lasts: Option<String>,
    /// Even if names are left with nothing.
    #[serde(default)]
    force: bool,
}

/// A dial to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskedDial {
    /// Of its normal traffic, what the region may get.
    #[serde(deserialize_with = "whole")]
    #[schema(maximum = 100, example = 50)]
    percent: u8,
    /// Why, for whoever finds it later.
    #[schema(value_type = ReasonForm, example = "disks")]
    reason: Option<String>,
    /// Who says so; without, the name of the token.
    #[schema(value_type = Option<AuthorForm>, example = "ann")]
    author: Option<String>,
    /// When it ends by itself; without, it is taken back by hand.
    #[serde(rename = "for")]
    #[schema(value_type = Option<LastsForm>, example = "30m")]
    lasts: Option<String>,
    /// Even if names are left with nothing.
    #[serde(default)]
    force: bool,
}

/// What operators say now.
#[derive(Debug, Serialize, ToSchema)]
struct Listed {
    /// In the order in which they were set.
    overrides: Vec<Told>,
    /// In the order of their regions.
    dials: Vec<ToldDial>,
}

/// An override.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Override)]
pub(super) struct Told {
    /// Its number.
    id: u64,
    /// What is meant.
    #[schema(example = "us-east-1")]
    target: String,
    /// What it is.
    #[schema(value_type = WordForm, example = "drain")]
    state: String,
    #[serde(flatten)]
    note: ToldNote,
}

/// The dial of a region.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dial)]
struct ToldDial {
    /// The region.
    #[schema(example = "us-east-1")]
    region: String,
    /// Of its normal traffic, what it may get.
    #[schema(maximum = 100)]
    percent: u8,
    #[serde(flatten)]
    note: ToldNote,
}

/// What stands beside an act of an operator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Note)]
struct ToldNote {
    /// Why.
    #[schema(example = "disks")]
    reason: String,
    /// Who said so.
    #[schema(example = "ann")]
    author: String,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// When it ends by itself; null: when it is taken back.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// An override that was set.
#[derive(Debug, Serialize, ToSchema)]
struct Set {
    /// Its number.
    id: u64,
}

/// What an override comes to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // It describes what is answered.
enum SetAnswer {
    /// It holds.
    Set(Set),
    /// What would follow, by `preview`.
    Preview(Preview),
}

/// What a dial comes to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // It describes what is answered.
enum DialAnswer {
    /// It holds.
    Dialed(Dialed),
    /// What would follow, by `preview`.
    Preview(Preview),
}

/// What taking overrides back comes to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // It describes what is answered.
enum ClearAnswer {
    /// They hold no more.
    Cleared(Cleared),
    /// What would follow, by `preview`.
    Preview(Preview),
}

/// Overrides that were taken back.
#[derive(Debug, Serialize, ToSchema)]
struct Cleared {
    /// Their numbers.
    cleared: Vec<u64>,
}

/// A dial that was set.
#[derive(Debug, Serialize, ToSchema)]
struct Dialed {
    /// The region.
    region: String,
    /// Of its normal traffic, what it may get now.
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

/// What operators say now
#[utoipa::path(
    get,
    path = "/overrides",
    operation_id = "overrides",
    tag = "operator",
    responses((status = 200, description = "Overrides and dials", body = Listed)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let said = ask(&api, Request::Overrides).await?;
    Ok(json(&Listed::from(&said)))
}

/// Set an override
///
/// It beats what checks say. What would leave a name with nothing is refused unless it is forced.
#[utoipa::path(
    post,
    path = "/overrides",
    operation_id = "set_override",
    tag = "operator",
    params(
        ("preview" = Option<bool>, Query, description = "Change nothing, and say what would follow"),
    ),
    request_body = Asked,
    responses(
        (status = 200, description = "It holds, or what would follow", body = SetAnswer),
        Refused<404>,
        Refused<409>,
    ),
)]
async fn set(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let is_preview = is_preview(query.as_deref())?;
    let asked: Asked = read(body)?;
    too_long(&[&asked.target])?;
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
    let author = caller.author(asked.author);
    let note = note(asked.reason, author, asked.lasts.as_deref())?;
    let saying = Saying::Set(target, word, note);
    if is_preview {
        return foresee(&api, saying, asked.force).await;
    }
    let ids = say(&api, saying, asked.force).await?;
    Ok(json(&Set { id: ids.first().copied().unwrap_or_default() }))
}

/// Take an override back
#[utoipa::path(
    delete,
    path = "/overrides/{id}",
    operation_id = "clear_override",
    tag = "operator",
    params(
        ("id" = String, Path, description = "Its number, or the target of all that are meant",
            example = "www.example.com/us-east-1"),
        ("author" = inline(Option<AuthorForm>), Query, 
            description = "Who says so; without, the name of the token"),
        ("preview" = Option<bool>, Query, description = "Change nothing, and say what would follow"),
    ),
    responses(
        (status = 200, description = "They hold no more, or what would follow", body = ClearAnswer),
        Refused<404>,
    ),
)]
async fn clear(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    what: Segment,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let what = segment(what)?;
    let (mut author, mut is_preview) = (None, false);
    for (key, value) in parameters(query.as_deref()) {
        match &*key {
            "author" => author = Some(value),
            "preview" => is_preview = flag(&key, &value)?,
            _ => return Err(unknown_parameter(&key, "`author` and `preview`")),
        }
    }
    let author = caller.author(author);
    too_long(&[&author])?;
    let saying = Saying::Clear(what, author);
    if is_preview {
        return foresee(&api, saying, false).await;
    }
    let cleared = say(&api, saying, false).await?;
    Ok(json(&Cleared { cleared }))
}

/// Set the dial of a region
///
/// It scales the weight of all pools in the region, and its capacity. What would leave a name with
/// nothing is refused unless it is forced.
#[utoipa::path(
    post,
    path = "/dials/{region}",
    operation_id = "dial",
    tag = "operator",
    params(
        ("region" = String, Path, description = "Its name", example = "us-east-1"),
        ("preview" = Option<bool>, Query, description = "Change nothing, and say what would follow"),
    ),
    request_body = AskedDial,
    responses(
        (status = 200, description = "It holds, or what would follow", body = DialAnswer),
        Refused<404>,
        Refused<409>,
    ),
)]
async fn dial(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    region: Segment,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let region = segment(region)?;
    let is_preview = is_preview(query.as_deref())?;
    let asked: AskedDial = read(body)?;
    if 100 < asked.percent {
        let detail = format!("{} percent are no share", asked.percent);
        return Err(Problem::bad_parameter(detail, "write a number from 0 to 100"));
    }
    let author = caller.author(asked.author);
    let note = note(asked.reason, author, asked.lasts.as_deref())?;
    let dial = Dial { percent: asked.percent, note };
    let saying = Saying::Dial(region.clone(), dial);
    if is_preview {
        return foresee(&api, saying, asked.force).await;
    }
    say(&api, saying, asked.force).await?;
    Ok(json(&Dialed { region: region.into(), percent: asked.percent }))
}

/// A whole number, however it is written: JSON knows no difference between 50 and 50.0.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let number = f64::deserialize(deserializer)?;
    let whole = (0..=u8::MAX).find(|it| f64::from(*it).to_bits() == (number + 0.0).to_bits());
    whole.ok_or_else(|| D::Error::custom(format!("`{number}` is no whole number of percent")))
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|it| Problem::bad_body(it.status(), it.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let hint = "send a JSON object with the fields that docs/api.md names";
        Problem::bad_parameter(format!("the body cannot be read: {error}"), hint)
    })
}

/// What stands beside an act: it takes a reason, so that whoever finds it knows what to ask.
fn note(reason: Option<String>, author: String, lasts: Option<&str>) -> Result<Note, Problem> {
    let reason = reason.filter(|it| !it.trim().is_empty()).ok_or_else(|| {
        Problem::bad_parameter("there is no `reason`", "say why, for whoever finds it later")
    })?;
    too_long(&[&reason, &author])?;
    let since: SystemTime = clock::wall();
    let until = lasts.map(|text| {
        let lasts = duration(text).filter(|it| !it.is_zero() && *it <= DURATION_MAX);
        lasts.and_then(|it| since.checked_add(it)).ok_or_else(|| {
            let hint = "write `500ms`, `10s`, `5m`, `1h`, `1d`, or leave it out";
            Problem::bad_parameter(format!("`{text}` is no time to last `for`"), hint)
        })
    });
    Ok(Note { reason, author, since, until: until.transpose()? })
}

fn too_long(texts: &[&str]) -> Result<(), Problem> {
    if texts.iter().all(|it| it.chars().count() <= OPERATOR_TEXT_LEN_MAX) {
        return Ok(());
    }
    let hint =
        format!("a target, `reason` and `author` have at most {OPERATOR_TEXT_LEN_MAX} characters");
    Err(Problem::bad_parameter("that is too long to be kept", hint))
}

async fn say(api: &Api, saying: Saying, force: bool) -> Result<Vec<u64>, Problem> {
    let said = ask(api, |reply| Request::Say(saying, force, reply)).await?;
    said.map_err(unsaid)
}

async fn foresee(api: &Api, saying: Saying, force: bool) -> Result<Response, Problem> {
    let foreseen = ask(api, |reply| Request::Foresee(saying, force, reply)).await?;
    Ok(json(&Preview::of(&foreseen.map_err(unsaid)?)))
}

fn unsaid(why: Unsaid) -> Problem {
    match why {
        Unsaid::Unknown(detail) => {
            Problem::unknown(detail, "`evenkeel status` and `endpoints` name what there is")
        }
        Unsaid::Nothing(names) => Problem::would_leave_nothing(&names),
        Unsaid::NotKept(detail) => Problem::not_kept(detail),
    }
}

/// Whether it is asked what would follow, and nothing is to be done.
fn is_preview(query: Option<&str>) -> Result<bool, Problem> {
    let mut is_preview = false;
    for (key, value) in parameters(query) {
        match &*key {
            "preview" => is_preview = flag(&key, &value)?,
            _ => return Err(unknown_parameter(&key, "`preview`")),
        }
    }
    Ok(is_preview)
}
