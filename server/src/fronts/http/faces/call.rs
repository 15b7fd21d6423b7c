//! One call of a face: where it is, who answers it, and what is said of it in `/openapi.json`. A face is a
//! list of them, so that what is served is what is told.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post, put};
use serde_json::{Map, Value, json};

use crate::fronts::http::ask::State;

/// The response of the document that most faces have where a call is not done.
pub(super) const PROBLEM: &str = "Problem";

/// A call.
pub(in crate::fronts::http) struct Call {
    method: &'static str,
    path: String,
    serve: MethodRouter<State>,
    summary: &'static str,
    queries: Vec<(&'static str, Value, &'static str)>,
    takes: Map<String, Value>,
    needs_body: bool,
    gives: Map<String, Value>,
}

/// A reference to a schema of the document.
pub(super) fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A whole number that travels as an offset.
pub(super) fn offset() -> Value {
    json!({"type": "integer", "format": "int64"})
}

impl Call {
    fn new(
        method: &'static str,
        path: impl Into<String>,
        serve: MethodRouter<State>,
        summary: &'static str,
    ) -> Call {
        let (takes, gives) = (Map::new(), Map::new());
        Call {
            method,
            path: path.into(),
            serve,
            summary,
            queries: Vec::new(),
            takes,
            needs_body: false,
            gives,
        }
    }

    /// GET.
    pub(super) fn get<T: 'static>(
        path: impl Into<String>,
        summary: &'static str,
        handler: impl Handler<T, State>,
    ) -> Call {
        Call::new("get", path, get(handler), summary)
    }

    /// POST.
    pub(super) fn post<T: 'static>(
        path: impl Into<String>,
        summary: &'static str,
        handler: impl Handler<T, State>,
    ) -> Call {
        Call::new("post", path, post(handler), summary)
    }

    /// PUT.
    pub(super) fn put<T: 'static>(
        path: impl Into<String>,
        summary: &'static str,
        handler: impl Handler<T, State>,
    ) -> Call {
        Call::new("put", path, put(handler), summary)
    }

    /// DELETE.
    pub(super) fn delete<T: 'static>(
        path: impl Into<String>,
        summary: &'static str,
        handler: impl Handler<T, State>,
    ) -> Call {
        Call::new("delete", path, delete(handler), summary)
    }

    /// With a parameter behind the question mark.
    pub(super) fn query(mut self, name: &'static str, schema: Value, about: &'static str) -> Call {
        self.queries.push((name, schema, about));
        self
    }

    /// With a body of one of these types.
    pub(super) fn takes(mut self, types: &[&str], schema: Value) -> Call {
        for media in types {
            self.takes.insert((*media).to_owned(), json!({"schema": schema}));
        }
        self.needs_body = true;
        self
    }

    /// With a body, or without.
    pub(super) fn may_take(self, types: &[&str], schema: Value) -> Call {
        Call { needs_body: false, ..self.takes(types, schema) }
    }

    /// Answered with this status, and a body of one of these types.
    pub(super) fn gives(mut self, status: u16, about: &str, types: &[&str], schema: Value) -> Call {
        let content: Map<String, Value> =
            types.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect();
        self.gives.insert(status.to_string(), json!({"description": about, "content": content}));
        self
    }

    /// Answered with this status alone.
    pub(super) fn gives_nothing(mut self, status: u16, about: &str) -> Call {
        self.gives.insert(status.to_string(), json!({"description": about}));
        self
    }

    /// What the document says of it.
    fn described(&self, tag: &str, problem: &str) -> Value {
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = in_path
            .map(|name| {
                let schema = match name {
                    "partition_id" | "schema_id" => {
                        json!({"type": "integer", "format": "int32", "minimum": 0})
                    }
                    _ => json!({"type": "string", "minLength": 1}),
                };
                json!({"name": name, "in": "path", "required": true, "schema": schema})
            })
            .collect();
        parameters.extend(self.queries.iter().map(|(name, schema, about)| {
            json!({"name": name, "in": "query", "required": false, "schema": schema, "description": about})
        }));
        let mut gives = self.gives.clone();
        gives.insert("default".to_owned(), json!({"$ref": format!("#/components/responses/{problem}")}));
        let mut described = json!({
            "summary": self.summary,
            "tags": [tag],
            "operationId": self.id(),
            "parameters": parameters,
            "responses": gives,
        });
        if !self.takes.is_empty() {
            described["requestBody"] = json!({"required": self.needs_body, "content": self.takes});
        }
        described
    }

    /// A name that no other call has.
    fn id(&self) -> String {
        let words = self.path.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        format!("{}_{}", self.method, words.join("_"))
    }
}

/// A face: a name, and what it has.
pub(in crate::fronts::http) struct Face {
    /// Its name in the document.
    pub(super) name: &'static str,
    /// Its calls.
    pub(super) calls: Vec<Call>,
    /// The schemas that they speak of, by name.
    pub(super) schemas: Value,
    /// The response of the document that says why a call is not done.
    pub(super) problem: &'static str,
}

/// Adds a face to a router and to a document.
pub(super) fn add(face: Face, mut router: Router<State>, document: &mut Value) -> Router<State> {
    describe(&face, document);
    for call in face.calls {
        router = router.route(&call.path, call.serve);
    }
    router
}

/// Adds a face to a document.
pub(super) fn describe(face: &Face, document: &mut Value) {
    for call in &face.calls {
        document["paths"][&call.path][call.method] = call.described(face.name, face.problem);
    }
    if let Value::Object(schemas) = &face.schemas {
        for (name, schema) in schemas {
            document["components"]["schemas"][name] = schema.clone();
        }
    }
}
