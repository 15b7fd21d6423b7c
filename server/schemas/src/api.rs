//! Confluent's API as functions of bytes: which request a path is, what may be asked of it, and its answer.
//!
//! A path that is none of these is answered 404, whatever the method, since clients probe for newer parts of
//! the API and fall back on that.

use crate::error::Error;
use crate::json::Json;
use crate::records::Record;
use crate::subject::{Subject, prefix_of};

/// Bytes of a body that is read.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// What a request asks for. Subjects are qualified names; where there is none, all of them are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a path and a method of the API")]
pub enum Route {
    Root,
    Types,
    Schemas,
    ById(i32),
    TextById(i32),
    SubjectsOfId(i32),
    VersionsOfId(i32),
    ByGuid(String),
    IdsOfGuid(String),
    Subjects,
    LookUp(String),
    LatestWithMetadata(String),
    DeleteSubject(String),
    Versions(String),
    Register(String),
    Version(String, String),
    TextOfVersion(String, String),
    ReferencedBy(String, String),
    DeleteVersion(String, String),
    TestVersion(String, String),
    TestSubject(String),
    Config(Option<String>),
    SetConfig(Option<String>),
    DeleteConfig(Option<String>),
    Mode(Option<String>),
    SetMode(Option<String>),
    DeleteMode(Option<String>),
    Contexts,
    DeleteContext(String),
    ClusterId,
    ServerVersion,
}

/// A request, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub route: Route,
    /// The parameters of its query, in their order.
    pub(crate) query: Vec<(String, String)>,
    /// The context that the path has chosen.
    pub(crate) context: Option<String>,
}

/// What the client of a request needs to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// Whether it writes.
    pub is_write: bool,
    /// The subject that it is about, qualified, unless it is about more than one.
    pub subject: Option<&'a str>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// JSON.
    Json(Json),
    /// A schema alone, as it is.
    Text(String),
    /// Nothing.
    Empty,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It changes the state: the answer is true once these records, in this order, are durable.
    Change {
        /// What is to be appended.
        records: Vec<Record>,
        /// What is answered then.
        answer: Answer,
    },
}

impl Answer {
    pub(crate) fn json(body: impl Into<Json>) -> Answer {
        Answer { status: 200, body: Body::Json(body.into()) }
    }

    pub(crate) fn text(body: String) -> Answer {
        Answer { status: 200, body: Body::Text(body) }
    }

    /// The answer to a request that is refused.
    pub fn refused(error: &Error) -> Answer {
        let body = Json::object([("error_code", error.code().into()), ("message", error.to_string().into())]);
        Answer { status: error.status(), body: Body::Json(body) }
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Outcome {
        Outcome::Answer(answer)
    }
}

impl Request {
    /// The request of a path and a query as they came, with their escapes.
    pub fn parse(method: Method, path: &str, query: &str) -> Result<Request, Error> {
        let parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .filter(|_| !path.trim_matches('/').is_empty())
            .map(|part| decoded(part, false))
            .collect();
        let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let mut context = None;
        if let ["contexts", name, _, ..] = parts[..] {
            let name = Subject::parse(name);
            let name = if name.is_unqualified() { name.name } else { name.context };
            let name = if name.starts_with('.') { name } else { format!(".{name}") };
            context = Some(name);
            parts.drain(..2);
        }
        let route = route(method, &parts, context.as_deref())?;
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name, true), decoded(value, true))
            })
            .collect();
        Ok(Request { route, query, context })
    }

    /// What its client needs to be allowed.
    pub fn access(&self) -> Access<'_> {
        let (is_write, subject) = match &self.route {
            Route::Root
            | Route::Types
            | Route::Schemas
            | Route::ById(_)
            | Route::TextById(_)
            | Route::SubjectsOfId(_)
            | Route::VersionsOfId(_)
            | Route::ByGuid(_)
            | Route::IdsOfGuid(_)
            | Route::Subjects
            | Route::Contexts
            | Route::ClusterId
            | Route::ServerVersion => (false, None),
            Route::LookUp(subject)
            | Route::LatestWithMetadata(subject)
            | Route::Versions(subject)
            | Route::Version(subject, _)
            | Route::TextOfVersion(subject, _)
            | Route::ReferencedBy(subject, _)
            | Route::TestVersion(subject, _)
            | Route::TestSubject(subject) => (false, Some(subject.as_str())),
            Route::Config(subject) | Route::Mode(subject) => (false, subject.as_deref()),
            Route::Register(subject) | Route::DeleteSubject(subject) | Route::DeleteVersion(subject, _) => {
                (true, Some(subject.as_str()))
            }
            Route::SetConfig(subject)
            | Route::DeleteConfig(subject)
            | Route::SetMode(subject)
            | Route::DeleteMode(subject) => (true, subject.as_deref()),
            Route::DeleteContext(_) => (true, None),
        };
        Access { is_write, subject }
    }

    /// An id and a subject that is said to have it, where a schema is asked for by both, as deserializers do.
    pub fn id_of_subject(&self) -> Option<(i32, &str)> {
        let subject =
            self.value("subject").filter(|subject| !subject.is_empty() && self.context.is_none())?;
        match self.route {
            Route::ById(id) | Route::TextById(id) => Some((id, subject)),
            _ => None,
        }
    }

    /// Whether the answer may tell what schemas of other subjects say: a text that brings them with it is
    /// compared, and each difference is told.
    pub fn tells_of_others(&self, body: &[u8]) -> bool {
        #[derive(serde::Deserialize)]
        struct Brought {
            #[serde(default)]
            references: Option<Vec<serde::de::IgnoredAny>>,
        }
        matches!(self.route, Route::TestVersion(..) | Route::TestSubject(_))
            && match serde_json::from_slice::<Brought>(body) {
                Ok(brought) => brought.references.is_some_and(|references| !references.is_empty()),
                // What is read otherwise may say it twice.
                Err(_) => true,
            }
    }

    /// Whether it asks for nothing that has to be understood first: an answer costs what it is long.
    pub fn is_light(&self) -> bool {
        let format = self.value("format").is_none_or(str::is_empty);
        let is_look_up = matches!(
            self.route,
            Route::Register(_)
                | Route::LookUp(_)
                | Route::TestVersion(..)
                | Route::TestSubject(_)
                | Route::Schemas
        );
        format && !is_look_up && !self.access().is_write
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }
}

fn route(method: Method, parts: &[&str], context: Option<&str>) -> Result<Route, Error> {
    use Method::{Delete, Get, Post, Put};
    let name = |subject: &str| qualified(subject, context);
    let scope = || context.map(prefix_of).filter(|prefix| !prefix.is_empty());
    let settings = |subject: &str| {
        let subject = Subject::parse(&qualified(subject, context));
        let is_default = subject.is_unqualified() && subject.name.is_empty();
        (!is_default).then(|| subject.to_string())
    };
    Ok(match (method, parts) {
        (Get | Post, []) => Route::Root,
        (Get, ["schemas"]) => Route::Schemas,
        (Get, ["schemas", "types"]) => Route::Types,
        (Get, ["schemas", "ids", id]) => Route::ById(number(id)?),
        (Get, ["schemas", "ids", id, "schema"]) => Route::TextById(number(id)?),
        (Get, ["schemas", "ids", id, "subjects"]) => Route::SubjectsOfId(number(id)?),
        (Get, ["schemas", "ids", id, "versions"]) => Route::VersionsOfId(number(id)?),
        (Get, ["schemas", "guids", guid]) => Route::ByGuid((*guid).to_owned()),
        (Get, ["schemas", "guids", guid, "ids"]) => Route::IdsOfGuid((*guid).to_owned()),
        (Get, ["subjects"]) => Route::Subjects,
        (Post, ["subjects", subject]) => Route::LookUp(name(subject)),
        (Delete, ["subjects", subject]) => Route::DeleteSubject(name(subject)),
        (Get, ["subjects", subject, "metadata"]) => Route::LatestWithMetadata(name(subject)),
        (Get, ["subjects", subject, "versions"]) => Route::Versions(name(subject)),
        (Post, ["subjects", subject, "versions"]) => Route::Register(name(subject)),
        (Get, ["subjects", subject, "versions", version]) => {
            Route::Version(name(subject), (*version).to_owned())
        }
        (Delete, ["subjects", subject, "versions", version]) => {
            Route::DeleteVersion(name(subject), (*version).to_owned())
        }
        (Get, ["subjects", subject, "versions", version, "schema"]) => {
            Route::TextOfVersion(name(subject), (*version).to_owned())
        }
        (Get, ["subjects", subject, "versions", version, "referencedby"]) => {
            Route::ReferencedBy(name(subject), (*version).to_owned())
        }
        (Post, ["compatibility", "subjects", subject, "versions"]) => Route::TestSubject(name(subject)),
        (Post, ["compatibility", "subjects", subject, "versions", version]) => {
            Route::TestVersion(name(subject), (*version).to_owned())
        }
        (Get, ["config"]) => Route::Config(scope()),
        (Put, ["config"]) => Route::SetConfig(scope()),
        (Delete, ["config"]) => Route::DeleteConfig(scope()),
        (Get, ["config", subject]) => Route::Config(settings(subject)),
        (Put, ["config", subject]) => Route::SetConfig(settings(subject)),
        (Delete, ["config", subject]) => Route::DeleteConfig(settings(subject)),
        (Get, ["mode"]) => Route::Mode(scope()),
        (Put, ["mode"]) => Route::SetMode(scope()),
        (Delete, ["mode"]) => Route::DeleteMode(scope()),
        (Get, ["mode", subject]) => Route::Mode(settings(subject)),
        (Put, ["mode", subject]) => Route::SetMode(settings(subject)),
        (Delete, ["mode", subject]) => Route::DeleteMode(settings(subject)),
        (Get, ["contexts"]) => Route::Contexts,
        (Delete, ["contexts", context]) => Route::DeleteContext((*context).to_owned()),
        (Get, ["v1", "metadata", "id"]) => Route::ClusterId,
        (Get, ["v1", "metadata", "version"]) => Route::ServerVersion,
        _ => return Err(Error::NoSuchPath),
    })
}

/// The qualified name of a subject below a path that has chosen a context.
fn qualified(subject: &str, context: Option<&str>) -> String {
    let subject = Subject::parse(subject);
    match context {
        Some(context) if subject.is_unqualified() => {
            Subject { context: context.to_owned(), name: subject.name }.to_string()
        }
        _ => subject.to_string(),
    }
}

/// The number of a path; one that is none is no such path.
fn number(text: &str) -> Result<i32, Error> {
    text.parse().map_err(|_| Error::NoSuchPath)
}

fn decoded(text: &str, plus_is_blank: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            (b'+', _) if plus_is_blank => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str) -> Result<Route, Error> {
        Request::parse(method, path, "").map(|request| request.route)
    }

    #[test]
    fn paths_are_routes_and_unknown_ones_are_404() {
        assert_eq!(parse(Method::Get, "/"), Ok(Route::Root));
        assert_eq!(parse(Method::Get, "/schemas/ids/7"), Ok(Route::ById(7)));
        assert_eq!(parse(Method::Post, "/subjects/a%2Fb/versions/"), Ok(Route::Register("a/b".into())));
        assert_eq!(
            parse(Method::Get, "/contexts/.eu/subjects/s/versions"),
            Ok(Route::Versions(":.eu:s".into()))
        );
        assert_eq!(parse(Method::Put, "/contexts/:.eu:/config"), Ok(Route::SetConfig(Some(":.eu:".into()))));
        assert_eq!(parse(Method::Get, "/mode/:.:"), Ok(Route::Mode(None)));
        for (method, path) in [
            (Method::Get, "/associations/resources/lkc/topic"),
            (Method::Put, "/subjects"),
            (Method::Get, "/schemas/ids/x"),
            (Method::Delete, "/"),
        ] {
            assert_eq!(parse(method, path), Err(Error::NoSuchPath), "{path}");
        }
        let request =
            Request::parse(Method::Get, "/subjects", "deleted=true&subjectPrefix=a+b%21&x").unwrap();
        assert_eq!((request.flag("deleted"), request.value("subjectPrefix")), (true, Some("a b!")));
    }
}
