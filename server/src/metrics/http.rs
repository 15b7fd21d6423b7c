//! The little of HTTP/1 that a scraper and a supervisor need: GET and HEAD, one answer a connection. Bytes
//! alone; who talks to whom is in [`super::listener`].

/// Longest head of a request.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines.
const HEADERS_MAX: usize = 64;

/// An answer.
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// The statuses that we give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    HeadTooLarge,
    Unavailable,
}

impl Status {
    /// The number.
    pub(super) fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::RequestTimeout => 408,
            Status::HeadTooLarge => 431,
            Status::Unavailable => 503,
        }
    }

    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

impl Response {
    pub(super) fn plain(status: Status, body: impl Into<String>) -> Response {
        let body = body.into() + "\n";
        Response { status, content_type: "text/plain; charset=utf-8", body }
    }

    pub(super) fn of(status: Status) -> Response {
        Response::plain(status, status.line())
    }
}

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) is_head: bool,
}

/// An answer as it is sent.
#[derive(Debug)]
pub(super) struct Sent {
    bytes: Vec<u8>,
    head_bytes: usize,
}

impl Sent {
    pub(super) fn new(response: Response) -> Sent {
        let Response { status, content_type, body } = response;
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            status.line(),
            body.len()
        )
        .into_bytes();
        let head_bytes = bytes.len();
        bytes.extend_from_slice(body.as_bytes());
        Sent { bytes, head_bytes }
    }

    /// What is sent to a client that asked for the head alone, or for all.
    pub(super) fn bytes(&self, is_head: bool) -> &[u8] {
        if is_head { &self.bytes[..self.head_bytes] } else { &self.bytes }
    }
}

/// The request, when its head is whole.
pub(super) fn parse(head: &[u8]) -> Result<Option<Request>, Status> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
        Err(_) => return Err(Status::BadRequest),
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Request { path, is_head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Option<(String, bool)>, Status> {
        parse(head.as_bytes()).map(|request| request.map(|Request { path, is_head }| (path, is_head)))
    }

    #[test]
    fn a_request_is_a_path_and_nothing_before_its_head_is_whole() {
        assert_eq!(
            parsed("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Ok(Some(("/metrics".to_owned(), false)))
        );
        assert_eq!(parsed("HEAD /healthz HTTP/1.0\r\n\r\n"), Ok(Some(("/healthz".to_owned(), true))));
        assert_eq!(parsed("GET /metrics HTTP/1.1\r\nHost:"), Ok(None));
        assert_eq!(parsed(""), Ok(None));
    }

    #[test]
    fn what_is_no_request_for_us_is_told_so() {
        assert_eq!(parsed("POST /metrics HTTP/1.1\r\n\r\n"), Err(Status::MethodNotAllowed));
        assert_eq!(parsed("\u{1}\u{2}\u{3}"), Err(Status::BadRequest));
        let many = "x: y\r\n".repeat(HEADERS_MAX + 1);
        assert_eq!(parsed(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(Status::HeadTooLarge));
    }
}
