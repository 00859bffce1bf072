//! Forms: what the texts in calls and bodies look like, for the description of the API.
//!
//! Not here: how they are read (`config`, `geo`, `wire`), which knows odd ways to write some of them
//! that are not described.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::limits::OPERATOR_TEXT_LEN_MAX;

/// A name.
pub(super) struct NameForm;
/// An address or a network.
pub(super) struct ClientForm;
/// How long something lasts: above 0, and at most `DURATION_MAX`.
pub(super) struct LastsForm;
/// Whom an override means.
pub(super) struct TargetForm;
/// Why an operator says something.
pub(super) struct ReasonForm;
/// Who does.
pub(super) struct AuthorForm;
/// What checks say.
pub(super) struct VerdictForm;
/// What an override makes of endpoints.
pub(super) struct WordForm;
/// What is answered.
pub(super) struct AnswerForm;
/// What an answer rests on.
pub(super) struct FootingForm;

impl PartialSchema for NameForm {
    fn schema() -> RefOr<Schema> {
        let label = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
        pattern(&format!(r"^(\*\.)?({label}\.){{0,3}}{label}\.?$"), None)
    }
}

impl PartialSchema for ClientForm {
    fn schema() -> RefOr<Schema> {
        let octet = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        let v4 = format!("({octet}\\.){{3}}({octet}(/32)?|0/24)|({octet}\\.){{2}}0\\.0/16");
        let group = "[0-9a-f]{1,4}";
        let v6 = format!("({group}:){{7}}{group}|({group}:){{1,6}}(:{group}|:)");
        pattern(&format!("^({v4}|{v6}|({group}:){{1,3}}:/(48|56|64))$"), None)
    }
}

impl PartialSchema for LastsForm {
    fn schema() -> RefOr<Schema> {
        let days = "([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-6])d";
        let shorter = "[1-9][0-9]{0,9}ms|[1-9][0-9]{0,6}s?|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h";
        pattern(&format!("^({shorter}|{days})$"), None)
    }
}

impl PartialSchema for TargetForm {
    fn schema() -> RefOr<Schema> {
        pattern(r"^[!-~]*[!-,/-~\-]$", Some(OPERATOR_TEXT_LEN_MAX))
    }
}

impl PartialSchema for ReasonForm {
    fn schema() -> RefOr<Schema> {
        pattern(r"\S", Some(OPERATOR_TEXT_LEN_MAX))
    }
}

impl PartialSchema for AuthorForm {
    fn schema() -> RefOr<Schema> {
        let it = ObjectBuilder::new().schema_type(Type::String);
        it.max_length(Some(OPERATOR_TEXT_LEN_MAX)).into()
    }
}

impl PartialSchema for VerdictForm {
    fn schema() -> RefOr<Schema> {
        one_of(&["up", "down", "unknown"])
    }
}

impl PartialSchema for WordForm {
    fn schema() -> RefOr<Schema> {
        one_of(&["up", "down", "drain"])
    }
}

impl PartialSchema for AnswerForm {
    fn schema() -> RefOr<Schema> {
        one_of(&["records", "nodata", "unreachable", "not_ready"])
    }
}

impl PartialSchema for FootingForm {
    fn schema() -> RefOr<Schema> {
        one_of(&["healthy", "failed_open", "last_good", "fallback"])
    }
}

impl ToSchema for NameForm {}
impl ToSchema for ClientForm {}
impl ToSchema for LastsForm {}
impl ToSchema for TargetForm {}
impl ToSchema for ReasonForm {}
impl ToSchema for AuthorForm {}
impl ToSchema for VerdictForm {}
impl ToSchema for WordForm {}
impl ToSchema for AnswerForm {}
impl ToSchema for FootingForm {}

fn pattern(pattern: &str, len_max: Option<usize>) -> RefOr<Schema> {
    let it = ObjectBuilder::new().schema_type(Type::String);
    it.pattern(Some(pattern)).max_length(len_max).into()
}

fn one_of(words: &[&str]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.to_vec())).into()
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::{config::duration, geo::Prefix, limits::DURATION_MAX};

    /// The form describes the former, all of which are read, and none of the latter, which are not.
    #[track_caller]
    fn check<T: PartialSchema>(is_read: impl Fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        let RefOr::T(Schema::Object(form)) = T::schema() else { panic!("it is no text") };
        let form = Regex::new(form.pattern.as_deref().expect("it has a pattern")).unwrap();
        for (texts, expect) in [(good, true), (bad, false)] {
            for text in texts {
                assert_eq!((form.is_match(text), is_read(text)), (expect, expect), "{text}");
            }
        }
    }

    #[test]
    fn what_is_described_is_what_is_read() {
        let lasts = |it: &str| duration(it).is_some_and(|it| !it.is_zero() && it <= DURATION_MAX);
        check::<LastsForm>(
            lasts,
            &["10s", "10", "500ms", "5m", "1h", "1d", "366d"],
            &["367d", "0s", "", "s", "1w", "-1s"],
        );
        check::<ClientForm>(
            |it| it.parse::<Prefix>().is_ok(),
            &[
                "192.0.2.1",
                "192.0.2.0/24",
                "192.0.2.1/32",
                "192.0.0.0/16",
                "2001:db8::",
                "2001:db8::/48",
                "2001:db8::1",
                "1:2:3:4:5:6:7:8",
            ],
            &[
                "256.0.2.1",
                "192.0.2.1/24",
                "192.0.2",
                "2001:db8::/129",
                "1:2:3:4:5:6:7:8:9",
                "x",
                "",
            ],
        );
    }
}
