//! Declared input of calls: which query parameters each knows, and whether it takes a body. It comes from the calls'
//! description. So whatever a call doesn't declare is refused before it, and no call can ignore a mistyped parameter.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, header};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};

use super::input;
use super::problem::{ErrorPart, Problem};

/// Maximum number of parameters that one answer names.
const MOST_NAMED: usize = 20;

/// Longest body that says nothing: an empty JSON object, which some clients always send.
const EMPTY_OBJECT: usize = 2;

/// Declared input of all calls, by path and method.
#[derive(Debug)]
pub(super) struct DeclaredInput(HashMap<String, Vec<(Method, CallInput)>>);

/// Declared input of one call.
#[derive(Debug, Default)]
struct CallInput {
    parameters: Vec<DeclaredParameter>,
    has_body: bool,
}

#[derive(Debug)]
struct DeclaredParameter {
    name: String,
    may_repeat: bool,
}

/// Input of a call that the description doesn't know.
static NOTHING: CallInput = CallInput { parameters: Vec::new(), has_body: false };

impl DeclaredInput {
    /// What this description declares.
    pub(super) fn of(api: &OpenApi) -> Self {
        let of_path = |item: &PathItem| {
            let methods = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let declared = |(method, call): (Method, &Option<Operation>)| {
                call.as_ref().map(|call| (method, CallInput::of(call)))
            };
            methods.into_iter().filter_map(declared).collect()
        };
        Self(api.paths.paths.iter().map(|(path, item)| (path.clone(), of_path(item))).collect())
    }

    /// The input of a call; `None` if the path has no call with this method.
    fn of_call(&self, path: &str, method: &Method) -> Option<&CallInput> {
        let Some(calls) = self.0.get(path) else { return Some(&NOTHING) };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        calls.iter().find(|(declared, _)| declared == method).map(|(_, input)| input)
    }
}

impl CallInput {
    fn of(call: &Operation) -> Self {
        let queried = call.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter),
            _ => None,
        });
        let declared = |parameter: &Parameter| DeclaredParameter {
            name: parameter.name.clone(),
            may_repeat: matches!(parameter.schema, Some(RefOr::T(Schema::Array(_)))),
        };
        Self { parameters: queried.map(declared).collect(), has_body: call.request_body.is_some() }
    }

    /// What is wrong with a query, if something is.
    fn query(&self, query: &str) -> Result<(), Problem> {
        let mut given: Vec<(String, usize)> = Vec::new();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if let Some((_, times)) = given.iter_mut().find(|(known, _)| *known == name) {
                *times += 1;
            } else if given.len() > self.parameters.len() + MOST_NAMED {
                break;
            } else {
                given.push((name.into_owned(), 1));
            }
        }
        let mut unknown = Vec::new();
        let mut repeated = None;
        for (name, times) in given {
            match self.parameters.iter().find(|declared| declared.name == name) {
                None => unknown.push(name),
                Some(declared) if times > 1 && !declared.may_repeat => repeated = repeated.or(Some(name)),
                Some(_) => {}
            }
        }
        unknown.truncate(MOST_NAMED);
        if !unknown.is_empty() {
            return Err(Problem::unknown_parameters(
                unknown.into_iter().map(|name| self.unknown(name)).collect(),
            ));
        }
        match repeated {
            Some(name) => Err(Problem::invalid_parameter(&name, "it is given more than once; give it once")),
            None => Ok(()),
        }
    }

    fn unknown(&self, name: String) -> ErrorPart {
        let known: Vec<&str> = self.parameters.iter().map(|declared| declared.name.as_str()).collect();
        let shown =
            if name.len() > 64 { "this parameter".to_owned() } else { format!("`{}`", name.escape_debug()) };
        let detail = match (input::nearest(&name, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => format!("this call does not know {shown}; did you mean `{near}`?"),
            (None, []) => {
                format!("this call has no query parameters, so it does not know {shown}; leave it out")
            }
            (None, known) => format!("this call does not know {shown}; it knows `{}`", known.join("`, `")),
        };
        ErrorPart { parameter: Some(name), code: "unknown_parameter", detail, ..ErrorPart::default() }
    }

    /// What is wrong with a request, if something is.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        if let Some(query) = request.uri().query() {
            self.query(query)?;
        }
        // By its head alone: a body that is not wanted is not waited for.
        let fields = request.headers();
        let length = input::stated_length(fields).unwrap_or(0);
        if !self.has_body && (length > EMPTY_OBJECT || fields.contains_key(header::TRANSFER_ENCODING)) {
            return Err(Problem::unexpected_body());
        }
        Ok(())
    }
}

/// Middleware that refuses what a call doesn't declare.
pub(super) async fn check(
    State(declared): State<Arc<DeclaredInput>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let checked = declared.of_call(path, request.method()).map_or(Ok(()), |call| call.check(&request));
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn call(parameters: &[(&str, bool)]) -> CallInput {
        let declared =
            |&(name, may_repeat): &(&str, bool)| DeclaredParameter { name: name.to_owned(), may_repeat };
        CallInput { parameters: parameters.iter().map(declared).collect(), has_body: false }
    }

    #[test]
    fn a_query_has_only_what_is_declared_and_once() {
        let list = call(&[("limit", false), ("after", false), ("label", true)]);
        for query in ["", "&", "limit=1", "after=&limit=", "label=a&label=b&label=c", "l%69mit=1"] {
            assert!(list.query(query).is_ok(), "{query}");
        }
        for (query, code, part) in [
            ("limt=1", "unknown_parameter", "did you mean `limit`?"),
            ("Limit=1", "unknown_parameter", "did you mean `limit`?"),
            ("=1", "unknown_parameter", "it knows `limit`, `after`, `label`"),
            ("widget=w", "unknown_parameter", "it knows `limit`, `after`, `label`"),
            ("limit=1&limit=1", "invalid_parameter", "more than once"),
            ("limit=1&l%69mit=1", "invalid_parameter", "more than once"),
            ("limit=1&limit=2&x", "unknown_parameter", "`x`"),
        ] {
            let problem = list.query(query).unwrap_err();
            assert_eq!(problem.code(), code, "{query}");
            assert!(problem.detail().contains(part), "{query}: {}", problem.detail());
        }
        let none = call(&[]).query("x=1").unwrap_err();
        assert!(none.detail().contains("no query parameters"), "{}", none.detail());
    }

    #[test]
    fn a_long_query_is_told_of_in_few_words() {
        let query: String = (0..30_000).map(|n| format!("{n}&")).collect();
        let problem = call(&[("limit", false)]).query(&query).unwrap_err();
        assert_eq!(problem.errors().len(), MOST_NAMED);
        let problem = call(&[]).query(&"x".repeat(60_000)).unwrap_err();
        assert!(problem.detail().len() < 200, "{}", problem.detail());
    }
}
