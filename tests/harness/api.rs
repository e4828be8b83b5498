//! Calls of the API at `/api`.

use serde_json::Value;

use super::{Response, Server};

/// The text of a call of `/api/9/{path}`.
pub(crate) fn api_call(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} /api/9/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

impl Server {
    /// Calls the API on a new connection.
    #[track_caller]
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> Response {
        self.ask(api_call(method, path, body))
    }

    /// The JSON at a path of the API.
    #[track_caller]
    pub(crate) fn api_get(&self, path: &str) -> Value {
        self.api_json("GET", path, &Value::Null, 200)
    }

    /// The JSON at a path of an API that is not at `/api`.
    #[track_caller]
    pub(crate) fn api_at(&self, api: &str, path: &str) -> Value {
        let answer = self.get(&format!("{api}/9/{path}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("the answer is JSON")
    }

    /// Calls the API with a body, unless it is `Null`; returns the JSON of the answer, which has
    /// this status.
    #[track_caller]
    pub(crate) fn api_json(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.api(method, path, &body);
        assert_eq!(response.status, status, "{}", response.text());
        serde_json::from_slice(&response.body).expect("the answer is JSON")
    }
}
