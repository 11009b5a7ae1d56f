//! YAML as far as definitions use it: documents of maps, lists and scalars, every scalar kept as its text.
//!
//! Anchors and aliases are refused: nothing here needs them, and a file of a few lines can ask for any amount of memory by
//! them.

use saphyr_parser::{Event, Parser};
use std::panic::catch_unwind;

/// Levels inside each other.
const MAX_DEPTH: usize = 32;
/// Scalars, lists and maps of one file.
const MAX_NODES: usize = 2_000_000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Text, number or word, as it is written.
    Scalar(String),
    /// Values in order.
    List(Vec<Node>),
    /// Names with their values, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        match self {
            Self::Map(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Node]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The texts of a field that is a list of them; none where it is missing.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let values = self.field(name).and_then(Self::list).unwrap_or(&[]);
        values.iter().filter_map(|one| one.text().map(str::to_owned)).collect()
    }
}

/// What is being put together: a list, or a map with the name that waits for its value.
enum Open {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<String>),
}

/// The documents of a file.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, String> {
    // A grammar of that size has corners nobody has been in; one more is no reason to end.
    let all = |text: &str| {
        catch_unwind(|| read(text))
            .unwrap_or_else(|_| Err("the reader of YAML failed on it".to_owned()))
    };
    // Published definitions have `names:[`, which YAML 1.1 took and 1.2 does not.
    all(text).or_else(|refused| all(&spaced(text)).map_err(|_| refused))
}

/// The text with a blank between a colon and a bracket outside quotes.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut before = ' ';
    for letter in text.chars() {
        match (quote, letter) {
            // An apostrophe in a sentence must not quote the rest of the file.
            (_, '\n') => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '[' | '{') if before == ':' => out.push(' '),
            _ => {}
        }
        out.push(letter);
        before = letter;
    }
    out
}

fn read(text: &str) -> Result<Vec<Node>, String> {
    let mut out = Vec::new();
    let mut stack: Vec<Open> = Vec::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let place = || format!("line {}, column {}", span.start.line(), span.start.col());
        nodes = nodes.saturating_add(1);
        if nodes > MAX_NODES || stack.len() > MAX_DEPTH {
            return Err(format!("{}: it is too large or too deep", place()));
        }
        let done = match event {
            Event::Alias(_) => return Err(format!("{}: an alias is not taken", place())),
            Event::Scalar(text, ..) => Some(Node::Scalar(text.into_owned())),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Vec::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(values)) => Some(Node::List(values)),
                Some(Open::Map(fields, _)) => Some(Node::Map(fields)),
                None => None,
            },
            _ => None,
        };
        let Some(node) = done else { continue };
        match stack.last_mut() {
            Some(Open::List(values)) => values.push(node),
            Some(Open::Map(fields, waiting)) => match (waiting.take(), node) {
                (Some(name), value) => fields.push((name, value)),
                (None, Node::Scalar(name)) => *waiting = Some(name),
                (None, _) => return Err(format!("{}: a name must be a word", place())),
            },
            None => out.push(node),
        }
    }
    // An empty document, such as a comment behind the last mark, is no definition.
    out.retain(|node| !matches!(node, Node::Scalar(_)));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_and_bombs_refused() {
        let text = "# comment\n---\nname: A\npaths: ['/x', \"/y\\n\"]\nmore: {a: [1, yes]}\n---\nname: B\ndoc: |\n  two\n  lines\n";
        let found = documents(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].texts("paths"), ["/x", "/y\n"]);
        assert_eq!(found[0].field("more").unwrap().texts("a"), ["1", "yes"]);
        assert_eq!(found[1].field("doc").unwrap().text(), Some("two\nlines\n"));
        assert!(documents("a: &x [1]\nb: *x\n").unwrap_err().contains("alias"));
        assert!(documents("a: [1\nb: }").is_err());
        let old = documents("a: {names:[x, 'y:[z]']}\n").unwrap();
        assert_eq!(old[0].field("a").unwrap().texts("names"), ["x", "y:[z]"]);
        assert!(documents(&"[".repeat(100_000)).is_err());
    }
}
