//! The requests: one method each, tried again while it may help.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::object::encoded;
use crate::sign::{Unsigned, hex, payload, sign};
use crate::transport::{Answer, Carried, agent, send};
use crate::{Access, Clock, Error, Object, answer};

/// Pages of a list of parts: 10,000 parts come in ten.
const PAGES_AT_MOST: usize = 20;
/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of a file digested at once.
const HASHED_BYTES: usize = 128 << 10;

/// How long a store that does not answer is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Times a request is made, 1 at least.
    pub attempts: u32,
    /// Wait before the second; each further one is twice as long.
    pub first_wait: Duration,
}

impl Default for Patience {
    /// Seven times, with a minute of waiting between them in all.
    fn default() -> Self {
        Self { attempts: 7, first_wait: Duration::from_secs(1) }
    }
}

/// A part that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Its number, from 1 on.
    pub number: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What the store calls its content.
    pub etag: String,
}

/// What follows an object's bytes as they are read.
pub type Content<'a> = &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>;

/// A store, reached with one set of keys.
pub struct Client {
    access: Access,
    agent: Agent,
    clock: Clock,
    patience: Patience,
    stop: Arc<AtomicBool>,
}

/// One request.
struct Ask<'a> {
    action: &'static str,
    method: &'a str,
    object: &'a Object,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, String)],
    body: Carried<'a>,
}

impl Client {
    /// The store that `access` leads to. `roots` are certificates (PEM) to trust in place of those built in; `stop` ends
    /// waiting when it becomes true.
    ///
    /// # Errors
    /// When there is no certificate in `roots`.
    pub fn new(
        access: Access,
        roots: Option<&[u8]>,
        clock: Clock,
        patience: Patience,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        Ok(Self { access, agent: agent(roots)?, clock, patience, stop })
    }

    /// Where the store is, safe to print.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.access.endpoint()
    }

    /// The size of an object in bytes; `None` if there is none.
    ///
    /// # Errors
    /// When the store does not say.
    pub fn size_bytes(&self, object: &Object) -> Result<Option<u64>, Error> {
        let action = "looking for the object";
        match self.call(&Ask::of(action, "HEAD", object)) {
            Ok(answer) => {
                let reason = "it has no length";
                answer.length_bytes.map(Some).ok_or(Error::BadAnswer { action, reason })
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a small object at once.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn put(&self, object: &Object, bytes: &[u8]) -> Result<(), Error> {
        let ask = Ask::of("writing a small object", "PUT", object);
        self.call(&Ask { body: Carried::Bytes(bytes), ..ask }).map(drop)
    }

    /// Reads an object of `size_bytes` to its end; where the connection breaks it goes on with the rest.
    ///
    /// # Errors
    /// When the store does not give it, or another number of bytes; `Stopped` when `take` breaks off.
    pub fn read(&self, object: &Object, size_bytes: u64, take: Content<'_>) -> Result<(), Error> {
        self.read_range((object, None), 0..size_bytes, take)
    }

    /// Reads a stretch of an object, in the same way.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_at(&self, object: &Object, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.read_range((object, Some(range.end)), range, &mut |piece| {
            bytes.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }

    /// Reads from `range.start` on; the store is asked to end before `asked_end` if there is one.
    fn read_range(
        &self,
        (object, asked_end): (&Object, Option<u64>),
        range: Range<u64>,
        take: Content<'_>,
    ) -> Result<(), Error> {
        let action = "reading the object back";
        let mut buffer = vec![0; PIECE_BYTES];
        let (mut at_bytes, mut failures) = (range.start, 0_u32);
        while at_bytes < range.end {
            let last = asked_end.map(|end| end.saturating_sub(1).to_string()).unwrap_or_default();
            let header = [("range", format!("bytes={at_bytes}-{last}"))];
            let is_whole = at_bytes == 0 && asked_end.is_none();
            let headers = if is_whole { &[][..] } else { &header };
            let answer = self.call(&Ask { headers, ..Ask::of(action, "GET", object) })?;
            // Without this a store that knows no ranges would give the beginning once more.
            if answer.status != if is_whole { 200 } else { 206 } {
                return Err(Error::BadAnswer { action, reason: "it is not the range asked for" });
            }
            let mut reader = answer.reader();
            let broken = loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break io::Error::from(io::ErrorKind::UnexpectedEof),
                    Ok(length) => {
                        let piece = buffer.get(..length).unwrap_or(&[]);
                        at_bytes =
                            at_bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                        if at_bytes > range.end {
                            let reason = "it has more bytes than were sent";
                            return Err(Error::BadAnswer { action, reason });
                        }
                        failures = 0;
                        if take(piece).is_break() {
                            return Err(Error::Stopped);
                        }
                    }
                    Err(error) => break error,
                }
            };
            if at_bytes < range.end {
                failures = failures.saturating_add(1);
                if failures >= self.patience.attempts {
                    let attempts = failures;
                    return Err(Error::Unreachable { action, attempts, source: broken });
                }
                self.wait(failures)?;
            }
        }
        Ok(())
    }

    /// Begins an upload in parts; gives its name.
    pub(crate) fn begin(&self, object: &Object) -> Result<String, Error> {
        let action = "beginning an upload";
        let ask = Ask::of(action, "POST", object);
        let query = [("uploads", "")];
        let answer = self.call(&Ask { query: &query, body: Carried::Bytes(b""), ..ask })?;
        let text = answer.text().map_err(|source| unread(action, source))?;
        let id = answer::text(&text, "UploadId").filter(|id| is_word(id));
        id.ok_or(Error::BadAnswer { action, reason: "it does not name the upload" })
    }

    /// Sends a file as a part; gives what the store calls its content.
    pub(crate) fn put_part(
        &self,
        object: &Object,
        upload: &str,
        number: u64,
        file: &Path,
    ) -> Result<String, Error> {
        let action = "sending a part";
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", upload)];
        let ask = Ask::of(action, "PUT", object);
        let answer = self.call(&Ask { query: &query, body: Carried::File(file), ..ask })?;
        let etag = answer.etag.filter(|etag| is_word(etag));
        etag.ok_or(Error::BadAnswer { action, reason: "it does not say what the part is" })
    }

    /// The parts of an upload that the store has, in order.
    pub(crate) fn parts(&self, object: &Object, upload: &str) -> Result<Vec<StoredPart>, Error> {
        let action = "listing the parts of an upload";
        let bad = |reason| Error::BadAnswer { action, reason };
        let (mut parts, mut marker) = (Vec::<StoredPart>::new(), String::from("0"));
        for _ in 0..PAGES_AT_MOST {
            let query = [("part-number-marker", marker.as_str()), ("uploadId", upload)];
            let answer = self.call(&Ask { query: &query, ..Ask::of(action, "GET", object) })?;
            let text = answer.text().map_err(|source| unread(action, source))?;
            for part in answer::inside(&text, "Part") {
                let number = |name| answer::text(part, name).and_then(|text| text.parse().ok());
                let etag = answer::text(part, "ETag").filter(|etag| is_word(etag));
                let (Some(number), Some(size_bytes), Some(etag)) =
                    (number("PartNumber"), number("Size"), etag)
                else {
                    return Err(bad("a part without number, size or name"));
                };
                if parts.last().is_some_and(|last| last.number >= number) {
                    return Err(bad("the parts are not in order"));
                }
                parts.push(StoredPart { number, size_bytes, etag });
            }
            if answer::text(&text, "IsTruncated").as_deref() != Some("true") {
                return Ok(parts);
            }
            let next = answer::text(&text, "NextPartNumberMarker");
            marker = next.filter(|next| is_word(next)).ok_or(bad("the list does not go on"))?;
        }
        Err(bad("the list does not end"))
    }

    /// Puts the parts together.
    pub(crate) fn complete(
        &self,
        object: &Object,
        upload: &str,
        etags: &[String],
    ) -> Result<(), Error> {
        let action = "completing an upload";
        let mut body = String::from("<CompleteMultipartUpload>");
        for (etag, number) in etags.iter().zip(1_u64..) {
            let etag = answer::escaped(etag);
            body.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
        }
        body.push_str("</CompleteMultipartUpload>");
        let ask = Ask::of(action, "POST", object);
        let query = [("uploadId", upload)];
        let answer =
            self.call(&Ask { query: &query, body: Carried::Bytes(body.as_bytes()), ..ask })?;
        let status = answer.status;
        let text = answer.text().map_err(|source| unread(action, source))?;
        // The status comes before the work is done: an error may stand below it ("CompleteMultipartUpload").
        if answer::inside(&text, "CompleteMultipartUploadResult").next().is_some() {
            return Ok(());
        }
        let shown = |name: &str| {
            let text: String =
                answer::text(&text, name).unwrap_or_default().chars().take(300).collect();
            hashing::escape_name(text.as_bytes())
        };
        Err(Error::Answer { action, status, code: shown("Code"), message: shown("Message") })
    }

    /// Throws the parts of an upload away.
    pub(crate) fn abort(&self, object: &Object, upload: &str) -> Result<(), Error> {
        let query = [("uploadId", upload)];
        let ask = Ask::of("taking an upload back", "DELETE", object);
        self.call(&Ask { query: &query, ..ask }).map(drop)
    }

    fn call(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let path = ask.object.path();
        let mut query: Vec<String> = ask
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
            .collect();
        query.sort();
        let query = query.join("&");
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let payload = match ask.body {
            Carried::Nothing => payload(&[]),
            Carried::Bytes(bytes) => payload(bytes),
            Carried::File(path) => file_payload(path).map_err(|source| Error::Unreachable {
                action: ask.action,
                attempts: 1,
                source,
            })?,
        };
        let mut attempts = 0_u32;
        loop {
            attempts = attempts.saturating_add(1);
            let unsigned = Unsigned {
                method: ask.method,
                path: &path,
                query: &query,
                headers: ask.headers,
                payload: &payload,
            };
            let headers = sign(&self.access, &unsigned, (self.clock)());
            let way = (ask.method, target.as_str());
            let is_last = attempts >= self.patience.attempts;
            match send(&self.agent, &self.access, way, &headers, ask.body) {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) if is_last || !is_passing(answer.status) => {
                    return Err(answer.refusal(ask.action));
                }
                Err(source) if is_last => {
                    return Err(Error::Unreachable { action: ask.action, attempts, source });
                }
                Ok(_) | Err(_) => self.wait(attempts)?,
            }
        }
    }

    /// Waits longer each time, but not when told to stop.
    fn wait(&self, attempts: u32) -> Result<(), Error> {
        let step = Duration::from_millis(50);
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(10));
        let mut left = self.patience.first_wait.saturating_mul(doubled);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(step));
            left = left.saturating_sub(step);
        }
    }
}

impl<'a> Ask<'a> {
    fn of(action: &'static str, method: &'a str, object: &'a Object) -> Self {
        Self { action, method, object, query: &[], headers: &[], body: Carried::Nothing }
    }
}

/// SHA-256 of a file, as it is signed.
fn file_payload(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            length => hasher.update(buffer.get(..length).unwrap_or(&[])),
        }
    }
}

/// Answers that may be others a moment later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What a store names: no text that could steer anything.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unread(action: &'static str, source: io::Error) -> Error {
    Error::Unreachable { action, attempts: 1, source }
}
