//! HTTP/1.1 over TLS, by `ureq`: one request, one answer, nothing followed and nothing taken from the environment.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use hashing::escape_name;
use ureq::http::Request;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::{Access, Error, answer};

/// Most bytes of an answer that is no object: a list of 1000 parts takes about 300,000.
const ANSWER_BYTES: u64 = 4 << 20;
/// Longest text of a store that is shown.
const SHOWN_CHARS: usize = 300;

/// An answer, its status known and its body still to be read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Body,
    pub(crate) etag: Option<String>,
    pub(crate) length_bytes: Option<u64>,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(crate) enum Carried<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(&'a [u8]),
    /// All of this file, which is never in memory as a whole.
    File(&'a Path),
}

/// The way to a store; `roots` are certificates (PEM) to trust in place of those built in.
///
/// # Errors
/// When there is no certificate in `roots`.
pub(crate) fn agent(roots: Option<&[u8]>) -> Result<Agent, Error> {
    let roots = match roots {
        None => RootCerts::WebPki,
        Some(pem) => {
            let found = parse_pem(pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                let reason = "the file with certificates has none in it".to_owned();
                return Err(Error::BadAccess { reason });
            }
            RootCerts::new_with_certs(&found)
        }
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("glovebox/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_connect(Some(Duration::from_secs(20)))
        // A store that puts thousands of parts together takes its time to say so.
        .timeout_recv_response(Some(Duration::from_secs(300)))
        .timeout_per_read(Some(Duration::from_secs(120)))
        .timeout_per_write(Some(Duration::from_secs(120)))
        .build();
    Ok(config.new_agent())
}

/// Sends a signed request.
///
/// # Errors
/// When no answer comes.
pub(crate) fn send(
    agent: &Agent,
    access: &Access,
    (method, target): (&str, &str),
    headers: &[(String, String)],
    body: Carried<'_>,
) -> io::Result<Answer> {
    let mut request = Request::builder().method(method).uri(format!("{}{target}", access.endpoint));
    for (name, value) in headers {
        request = request.header(name.as_str(), value.as_str());
    }
    let failed = |error: ureq::Error| match error {
        ureq::Error::Io(error) => error,
        ureq::Error::Timeout(what) => {
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer in time ({what})"))
        }
        other => io::Error::other(other),
    };
    let response = match body {
        Carried::Nothing => agent.run(request.body(()).map_err(io::Error::other)?),
        Carried::Bytes(body) => agent.run(request.body(body).map_err(io::Error::other)?),
        Carried::File(path) => {
            let file = File::open(path)?;
            agent.run(request.body(file).map_err(io::Error::other)?)
        }
    };
    let response = response.map_err(failed)?;
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let (status, etag) = (response.status().as_u16(), header("etag"));
    let length_bytes = header("content-length").and_then(|value| value.parse().ok());
    Ok(Answer { status, etag, length_bytes, body: response.into_body() })
}

impl Answer {
    /// All of an answer that is text.
    ///
    /// # Errors
    /// When it breaks off or is too long.
    pub(crate) fn text(self) -> io::Result<String> {
        let body = self.body.into_with_config().limit(ANSWER_BYTES).lossy_utf8(true);
        body.read_to_string().map_err(io::Error::other)
    }

    /// The bytes of an object.
    pub(crate) fn reader(self) -> impl io::Read {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// What the store says against it.
    pub(crate) fn refusal(self, action: &'static str) -> Error {
        let status = self.status;
        let text = self.text().unwrap_or_default();
        let shown = |name: &str| {
            let text: String =
                answer::text(&text, name).unwrap_or_default().chars().take(SHOWN_CHARS).collect();
            escape_name(text.as_bytes())
        };
        Error::Answer { action, status, code: shown("Code"), message: shown("Message") }
    }
}
