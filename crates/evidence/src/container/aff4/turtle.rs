//! The part of Turtle that AFF4 writes its metadata in: prefixes, names, texts with a type, lists by `;` and `,`.
//!
//! Read from the W3C Recommendation "RDF 1.1 Turtle". Collections and nested blank nodes are not AFF4's and end the reading;
//! what stood before them counts. Our own parser: the published ones bring an RDF model and a dozen crates along.

use std::collections::{BTreeMap, HashMap};

/// Statements one file may have; an image has about a hundred.
const MAX_STATEMENTS: usize = 1 << 17;

/// What all names and texts together may have; a short name may stand for a long one.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// The object of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Another resource, by its whole name.
    Resource(String),
    /// A text and its type; the type is empty when none was given.
    Text(String, String),
}

impl Value {
    /// The text or the name.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Resource(text) | Self::Text(text, _) => text,
        }
    }
}

/// The statements, by their subject.
#[derive(Default)]
pub(super) struct Graph {
    subjects: BTreeMap<String, Vec<(String, Value)>>,
}

impl Graph {
    /// Reads what it can; the text says why it ended early.
    pub(super) fn parse(raw: &[u8]) -> (Self, Option<String>) {
        let mut parser = Parser { rest: raw, ..Parser::default() };
        let ended = parser.run().err().map(|what| {
            let line = raw.len().saturating_sub(parser.rest.len());
            let line = raw.get(..line).unwrap_or(raw).iter().filter(|byte| **byte == b'\n').count();
            format!("line {}: {what}", line.saturating_add(1))
        });
        (parser.graph, ended)
    }

    /// All subjects, in order.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &str> {
        self.subjects.keys().map(String::as_str)
    }

    /// What is said about a subject.
    pub(super) fn about(&self, subject: &str) -> &[(String, Value)] {
        self.subjects.get(subject).map_or(&[], Vec::as_slice)
    }

    /// All objects of a subject and a predicate.
    pub(super) fn all<'a>(
        &'a self,
        subject: &str,
        predicate: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        let about = self.about(subject);
        about.iter().filter(move |(name, _)| name == predicate).map(|(_, value)| value)
    }

    /// The first object of a subject and a predicate.
    pub(super) fn first(&self, subject: &str, predicate: &str) -> Option<&Value> {
        let about = self.about(subject);
        about.iter().find(|(name, _)| name == predicate).map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Parser<'a> {
    rest: &'a [u8],
    prefixes: HashMap<Vec<u8>, String>,
    graph: Graph,
    statements: usize,
    text_bytes: usize,
}

const TYPE: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type";
const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            self.skip();
            if self.rest.is_empty() {
                return Ok(());
            }
            if self.keyword(b"@prefix") || self.keyword(b"PREFIX") || self.keyword(b"prefix") {
                self.prefix()?;
                continue;
            }
            if self.keyword(b"@base") || self.keyword(b"BASE") {
                self.skip();
                self.resource()?;
                self.skip();
                self.take(b'.');
                continue;
            }
            self.statement()?;
        }
    }

    fn prefix(&mut self) -> Result<(), String> {
        self.skip();
        let name = self.word(|byte| byte != b':' && !byte.is_ascii_whitespace()).to_vec();
        if !self.take(b':') {
            return Err("a prefix without \":\"".to_owned());
        }
        self.skip();
        let stands_for = self.resource()?;
        self.prefixes.insert(name, stands_for);
        self.skip();
        self.take(b'.');
        Ok(())
    }

    fn statement(&mut self) -> Result<(), String> {
        let subject = self.resource()?;
        loop {
            self.skip();
            if self.take(b'.') {
                return Ok(());
            }
            let predicate = if self.keyword(b"a") { TYPE.to_owned() } else { self.resource()? };
            loop {
                self.skip();
                let object = self.object()?;
                self.add(&subject, &predicate, object)?;
                self.skip();
                if !self.take(b',') {
                    break;
                }
            }
            // A semicolon may be followed by further ones, or by the full stop.
            let mut goes_on = false;
            while self.take(b';') {
                goes_on = true;
                self.skip();
            }
            if !goes_on {
                return if self.take(b'.') { Ok(()) } else { Err("no \".\" or \";\"".to_owned()) };
            }
        }
    }

    fn add(&mut self, subject: &str, predicate: &str, object: Value) -> Result<(), String> {
        let length = predicate.len().saturating_add(match &object {
            Value::Resource(name) => name.len(),
            Value::Text(text, kind) => text.len().saturating_add(kind.len()),
        });
        self.statements = self.statements.saturating_add(1);
        self.text_bytes = self.text_bytes.saturating_add(length).saturating_add(subject.len());
        if self.statements > MAX_STATEMENTS || self.text_bytes > MAX_TEXT_BYTES {
            return Err(format!("more than {MAX_STATEMENTS} statements or {MAX_TEXT_BYTES} bytes"));
        }
        let about = self.graph.subjects.entry(subject.to_owned()).or_default();
        about.push((predicate.to_owned(), object));
        Ok(())
    }

    fn object(&mut self) -> Result<Value, String> {
        match self.rest.first() {
            Some(b'"' | b'\'') => {
                let text = self.quoted()?;
                let mut kind = String::new();
                if self.rest.starts_with(b"^^") {
                    self.rest = self.rest.get(2..).unwrap_or(&[]);
                    kind = self.resource()?;
                } else if self.take(b'@') {
                    self.word(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                }
                Ok(Value::Text(text, kind))
            }
            Some(b'0'..=b'9' | b'+' | b'-') => {
                let is_number = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
                let length = self.rest.iter().take_while(|byte| is_number(**byte)).count();
                let whole = self.rest.get(..length).unwrap_or(&[]);
                // The full stop that ends the statement may stand right behind the number.
                let number = whole.strip_suffix(b".").unwrap_or(whole);
                self.rest = self.rest.get(number.len()..).unwrap_or(&[]);
                Ok(Value::Text(text(number), format!("{XSD}integer")))
            }
            _ if self.keyword(b"true") => Ok(Value::Text("true".into(), format!("{XSD}boolean"))),
            _ if self.keyword(b"false") => Ok(Value::Text("false".into(), format!("{XSD}boolean"))),
            _ => Ok(Value::Resource(self.resource()?)),
        }
    }

    /// A resource: `<name>`, `prefix:name`, or a blank node with a label.
    fn resource(&mut self) -> Result<String, String> {
        if self.take(b'<') {
            let name = unescape(self.word(|byte| byte != b'>'));
            return if self.take(b'>') { Ok(name) } else { Err("a name without its \">\"".into()) };
        }
        let is_name =
            |byte: u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(&byte) || byte > 127;
        let prefix = self.word(is_name);
        if !self.take(b':') {
            let next = self.rest.first().map_or(0, |byte| *byte);
            return Err(format!("no resource begins with {:?}", char::from(next)));
        }
        let is_local = |byte: u8| is_name(byte) || b":/\\#".contains(&byte);
        let length = self.rest.iter().take_while(|byte| is_local(**byte)).count();
        let whole = self.rest.get(..length).unwrap_or(&[]);
        let dots = whole.iter().rev().take_while(|byte| **byte == b'.').count();
        let local = whole.get(..length.saturating_sub(dots)).unwrap_or(&[]);
        self.rest = self.rest.get(local.len()..).unwrap_or(&[]);
        let local = text(local).replace('\\', "");
        if prefix == b"_" {
            return Ok(format!("_:{local}"));
        }
        let known = self.prefixes.get(prefix);
        known.map(|stands_for| format!("{stands_for}{local}")).ok_or_else(|| {
            format!("the prefix \"{}\" was not declared", crate::escape_bytes(prefix))
        })
    }

    /// A text in one or three quotes of either kind.
    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.rest.first().copied().unwrap_or(b'"');
        let three = [quote; 3];
        let end = if self.rest.starts_with(&three) { &three[..] } else { &three[..1] };
        let body = self.rest.get(end.len()..).unwrap_or(&[]);
        let mut length = 0_usize;
        loop {
            let rest = body.get(length..).unwrap_or(&[]);
            match rest.first() {
                None => return Err("a text without its end".to_owned()),
                Some(b'\\') => length = length.saturating_add(2),
                Some(_) if rest.starts_with(end) => break,
                Some(_) => length = length.saturating_add(1),
            }
        }
        let raw = body.get(..length).unwrap_or(&[]);
        self.rest = body.get(length.saturating_add(end.len())..).unwrap_or(&[]);
        Ok(unescape(raw))
    }

    /// Passes over blanks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'#') {
                return;
            }
            self.word(|byte| byte != b'\n');
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.rest.strip_prefix(&[wanted]);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// A word of the language, which something that belongs to no name has to follow.
    fn keyword(&mut self, wanted: &[u8]) -> bool {
        let found = self.rest.strip_prefix(wanted).filter(|rest| {
            rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b':')
        });
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn word(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().take_while(|byte| belongs(**byte)).count();
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        word
    }
}

fn text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

/// Resolves the escapes of Turtle 6.4; one that is none stands for its letter.
fn unescape(raw: &[u8]) -> String {
    let whole = text(raw);
    if !whole.contains('\\') {
        return whole;
    }
    let mut out = String::new();
    let mut letters = whole.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some(kind @ ('u' | 'U')) => {
                let digits = if kind == 'u' { 4 } else { 8 };
                let digits: String = letters.by_ref().take(digits).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms are those of the Standard's example and of the serialisers of Evimetry and rdflib.
    #[test]
    fn every_form_that_is_met() {
        let (graph, ended) = Graph::parse(
            br#"@prefix :      <aff4://volume> . # a comment
@prefix aff4:  <http://aff4.org/Schema#> .
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
:       a   aff4:ZipVolume ;
        aff4:contains <aff4://a> , <aff4://b> ;
.
<aff4://a>
        a aff4:Image , aff4:DiskImage ;
        aff4:size "12"^^xsd:long ; aff4:blockSize 512 ;
        aff4:notes "say \"hi\"\nback\\slash \u00e4", 'single', """three "quotes" """ ;
        aff4:stored : .
_:b1 aff4:size 7.
"#,
        );
        assert_eq!(ended, None);
        let term = |name: &str| format!("http://aff4.org/Schema#{name}");
        assert_eq!(graph.all("aff4://a", TYPE).count(), 2);
        assert_eq!(graph.first("aff4://a", &term("size")).unwrap().text(), "12");
        assert_eq!(graph.first("aff4://a", &term("blockSize")).unwrap().text(), "512");
        let notes = term("notes");
        let notes: Vec<&str> = graph.all("aff4://a", &notes).map(Value::text).collect();
        assert_eq!(notes, ["say \"hi\"\nback\\slash \u{e4}", "single", "three \"quotes\" "]);
        let stored = Value::Resource("aff4://volume".into());
        assert_eq!(graph.first("aff4://a", &term("stored")), Some(&stored));
        assert_eq!(graph.first("_:b1", &term("size")).unwrap().text(), "7");
    }

    #[test]
    fn what_stands_before_an_error_counts() {
        let (graph, ended) = Graph::parse(b"<a> <b> <c> .\n<d> <e> ( 1 2 ) .");
        assert_eq!(graph.subjects().collect::<Vec<_>>(), ["a"]);
        assert!(ended.unwrap().starts_with("line 2:"));
        for cut in [&b"<a> <b> \"c"[..], b"<a", b"x:y", b"<a> <b> \"\\", b"@prefix", b"<a> <b>"] {
            assert!(Graph::parse(cut).1.is_some());
        }
    }
}
